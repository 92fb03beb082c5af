// NCCL without PyTorch's process groups: a communicator that is set up and used without blocking,
// so that a peer that died is a timeout and not a hang.
//
// Bootstrap: rank 0 makes the unique id and MPI carries its 128 bytes; built without MPI there is
// one rank.
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "worker/comm/backends.h"
#include "worker/comm/exit_soon.h"
#include "worker/comm/wait_limit.h"
#ifdef ALLO_COMM_MPI
#include "worker/comm/mpi_world.h"
#endif

namespace allometry::comm {
namespace {

// A failure of this rank's own GPU.
absl::Status FromCuda(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, ": ", cudaGetErrorString(error)));
}

// The last error that NCCL logged says more than the code. `comm` is null before there is one, and
// then no other rank has a part in it.
absl::Status FromNccl(ncclResult_t result, absl::string_view what, ncclComm_t comm) {
  if (result == ncclSuccess || result == ncclInProgress) return absl::OkStatus();
  std::string message = absl::StrCat(what, ": ", ncclGetErrorString(result));
  const char* const last = ncclGetLastError(comm);
  if (last != nullptr && *last != '\0') absl::StrAppend(&message, " (", last, ")");
  // The remote process exited, or a call of the system failed: of a socket to another rank.
  const bool peer = comm != nullptr && (result == ncclRemoteError || result == ncclSystemError);
  return peer ? absl::AbortedError(message) : absl::InternalError(message);
}

class Nccl final : public Collective {
 public:
  explicit Nccl(const Options& options) : options_(options), timeout_s_(options.timeout_s) {}

  ~Nccl() override {
    if (comm_ != nullptr && !failed_ && ncclCommFinalize(comm_) != ncclSuccess) {
      (void)WaitForComm("ncclCommFinalize");
    }
    // Finalize and Destroy wait for the other ranks, and for one that is lost they do so for ever.
    if (comm_ != nullptr && failed_) ncclCommAbort(comm_);
    if (comm_ != nullptr && !failed_) ncclCommDestroy(comm_);
    if (scratch_ != nullptr) cudaFree(scratch_);
    if (parts_ready_ != nullptr) cudaEventDestroy(parts_ready_);
    if (parts_summed_ != nullptr) cudaEventDestroy(parts_summed_);
    if (parts_stream_ != nullptr) cudaStreamDestroy(parts_stream_);
#ifdef ALLO_COMM_MPI
    if (failed_ && world_ != nullptr) world_->LeaveAtOnce();
#endif
  }

  absl::Status Connect() {
    ncclUniqueId id;
#ifdef ALLO_COMM_MPI
    ALLO_ASSIGN_OR_RETURN(world_, MpiWorld::Join(options_));
    rank_ = world_->rank();
    world_size_ = world_->size();
    // A rank that fails here must not leave the others waiting for the id.
    ALLO_RETURN_IF_ERROR(world_->Agree(Prepare(&id)));
    ALLO_RETURN_IF_ERROR(world_->Broadcast(std::as_writable_bytes(std::span(&id, 1)), 0));
#else
    ALLO_RETURN_IF_ERROR(Prepare(&id));
#endif
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ALLO_RETURN_IF_ERROR(
        Check(FromNccl(ncclCommInitRankConfig(&comm_, world_size_, id, rank_, &config),
                       "ncclCommInitRankConfig", nullptr)));
    return WaitForComm("NCCL set-up");
  }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }

  std::string library() const override {
    int version = 0;
    if (ncclGetVersion(&version) != ncclSuccess) return "NCCL";
    const std::string name =
        absl::StrFormat("NCCL %d.%d.%d", version / 10'000, version / 100 % 100, version % 100);
    if (!options_.deterministic) return name;
    return absl::StrFormat("%s (%s, %s)", name, std::getenv(kAlgorithm), std::getenv(kProtocol));
  }

  absl::Status AllReduceSum(std::span<float> values, std::span<double> scalars) override {
    if (!values.empty()) {
      ALLO_RETURN_IF_ERROR(Sum(values.data(), values.size(), ncclFloat32, stream_));
    }
    if (scalars.empty()) return absl::OkStatus();
    return Sum(scalars.data(), scalars.size(), ncclFloat64, stream_);
  }

  // The two streams meet at events, which a capture of the one extends to the other.
  absl::Status BeginSum(std::span<float> values) override {
    if (values.empty()) return absl::OkStatus();
    if (parts_stream_ == nullptr) ALLO_RETURN_IF_ERROR(Check(OpenPartsStream()));
    ALLO_RETURN_IF_ERROR(Check(Follow(parts_stream_, parts_ready_, stream_)));
    parts_begun_ = true;
    return Sum(values.data(), values.size(), ncclFloat32, parts_stream_);
  }
  absl::Status JoinSums() override {
    if (!std::exchange(parts_begun_, false)) return absl::OkStatus();
    return Check(Follow(stream_, parts_summed_, parts_stream_));
  }

  absl::Status Wait() override { return WaitForStream(); }

  absl::Status WaitUntil(const std::function<absl::StatusOr<bool>()>& done) override {
    return PollWithPeers("waiting for the GPU", done);
  }

  absl::Status AllReduceSum(std::span<double> values) override {
    return ThroughScratch(std::as_writable_bytes(values), [this](void* device, size_t bytes) {
      return Sum(device, bytes / sizeof(double), ncclFloat64, stream_);
    });
  }

  absl::Status Broadcast(std::span<std::byte> bytes, int root) override {
    return ThroughScratch(bytes, [this, root](void* device, size_t count) {
      ALLO_RETURN_IF_ERROR(
          Check(FromNccl(ncclBroadcast(device, device, count, ncclUint8, root, comm_, stream_),
                         "ncclBroadcast", comm_)));
      return WaitForComm("ncclBroadcast");
    });
  }

  absl::Status Barrier() override {
    double nothing = 0;
    return AllReduceSum(std::span<double>(&nothing, 1));
  }

  void Abort(int exit_code) override {
    ExitSoon(exit_code);
    if (comm_ != nullptr) ncclCommAbort(comm_);
#ifdef ALLO_COMM_MPI
    if (world_ != nullptr) world_->Abort(exit_code);
#endif
    _exit(exit_code);
  }

 private:
  static constexpr size_t kScratchBytes = 1 << 16;
  static constexpr char kAlgorithm[] = "NCCL_ALGO", kProtocol[] = "NCCL_PROTO";

  // Which of the GPUs that this rank sees is its own. Slurm and others may show each rank its own
  // alone.
  absl::StatusOr<int> ChooseGpu() const {
    int gpus = 0, local_rank = 0;
    ALLO_RETURN_IF_ERROR(FromCuda(cudaGetDeviceCount(&gpus), "cudaGetDeviceCount"));
#ifdef ALLO_COMM_MPI
    local_rank = world_->local_rank();
#endif
    if (gpus == 1) return 0;
    if (local_rank < gpus) return local_rank;
    return absl::FailedPreconditionError(
        absl::StrFormat("%d ranks or more are on this host, which shows %d GPUs: start one rank a "
                        "GPU",
                        local_rank + 1, gpus));
  }

  // What this rank can do alone. `id` on rank 0.
  absl::Status Prepare(ncclUniqueId* id) {
    ALLO_ASSIGN_OR_RETURN(const int gpu, ChooseGpu());
    ALLO_RETURN_IF_ERROR(FromCuda(cudaSetDevice(gpu), "cudaSetDevice"));
    if (options_.open_gpu) {
      ALLO_ASSIGN_OR_RETURN(void* const stream, options_.open_gpu(gpu));
      stream_ = static_cast<cudaStream_t>(stream);
    }
    if (options_.deterministic) {
      // NCCL reads them when a communicator is made.
      setenv(kAlgorithm, "Ring", /*overwrite=*/0);
      setenv(kProtocol, "Simple", /*overwrite=*/0);
    }
    ALLO_RETURN_IF_ERROR(FromCuda(cudaMalloc(&scratch_, kScratchBytes), "cudaMalloc"));
    if (rank_ != 0) return absl::OkStatus();
    return FromNccl(ncclGetUniqueId(id), "ncclGetUniqueId", nullptr);
  }

  // Remembers a failure, after which the communicator is aborted and not finalized.
  absl::Status Check(absl::Status status) {
    failed_ = failed_ || !status.ok();
    return status;
  }

  absl::Status OpenPartsStream() {
    ALLO_RETURN_IF_ERROR(FromCuda(cudaStreamCreateWithFlags(&parts_stream_, cudaStreamNonBlocking),
                                  "cudaStreamCreate"));
    for (cudaEvent_t* event : {&parts_ready_, &parts_summed_}) {
      ALLO_RETURN_IF_ERROR(
          FromCuda(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "cudaEventCreate"));
    }
    return absl::OkStatus();
  }

  // `stream` goes on once `first` has done what it has now.
  static absl::Status Follow(cudaStream_t stream, cudaEvent_t event, cudaStream_t first) {
    ALLO_RETURN_IF_ERROR(FromCuda(cudaEventRecord(event, first), "cudaEventRecord"));
    return FromCuda(cudaStreamWaitEvent(stream, event, 0), "cudaStreamWaitEvent");
  }

  absl::Status Sum(void* values, size_t count, ncclDataType_t type, cudaStream_t stream) {
    ALLO_RETURN_IF_ERROR(
        Check(FromNccl(ncclAllReduce(values, values, count, type, ncclSum, comm_, stream),
                       "ncclAllReduce", comm_)));
    return WaitForComm("ncclAllReduce");
  }

  // Host bytes to the GPU, `exchange` there, and back, a piece at a time.
  template <class Exchange>
  absl::Status ThroughScratch(std::span<std::byte> host, Exchange exchange) {
    while (!host.empty()) {
      const std::span<std::byte> piece = host.first(std::min(host.size(), kScratchBytes));
      ALLO_RETURN_IF_ERROR(FromCuda(
          cudaMemcpyAsync(scratch_, piece.data(), piece.size(), cudaMemcpyHostToDevice, stream_),
          "cudaMemcpyAsync"));
      ALLO_RETURN_IF_ERROR(exchange(scratch_, piece.size()));
      ALLO_RETURN_IF_ERROR(FromCuda(
          cudaMemcpyAsync(piece.data(), scratch_, piece.size(), cudaMemcpyDeviceToHost, stream_),
          "cudaMemcpyAsync"));
      ALLO_RETURN_IF_ERROR(WaitForStream());
      host = host.subspan(piece.size());
    }
    return absl::OkStatus();
  }

  // Until NCCL's own threads have taken the last call.
  absl::Status WaitForComm(absl::string_view what) {
    return Poll(what, [this, what](bool* done) -> absl::Status {
      ncclResult_t state = ncclSuccess;
      ALLO_RETURN_IF_ERROR(FromNccl(ncclCommGetAsyncError(comm_, &state), what, comm_));
      *done = state != ncclInProgress;
      return FromNccl(state, what, comm_);
    });
  }

  // Until the stream is empty, or a peer is gone.
  absl::Status WaitForStream() {
    return PollWithPeers("waiting for the other ranks", [this]() -> absl::StatusOr<bool> {
      const cudaError_t error = cudaStreamQuery(stream_);
      if (error == cudaErrorNotReady) return false;
      ALLO_RETURN_IF_ERROR(FromCuda(error, "cudaStreamQuery"));
      return true;
    });
  }

  // Until `done`; NCCL says meanwhile where a peer is gone.
  absl::Status PollWithPeers(absl::string_view what,
                             const std::function<absl::StatusOr<bool>()>& is_done) {
    return Poll(what, [&](bool* done) -> absl::Status {
      ncclResult_t state = ncclSuccess;
      ALLO_RETURN_IF_ERROR(FromNccl(ncclCommGetAsyncError(comm_, &state), "NCCL", comm_));
      ALLO_RETURN_IF_ERROR(FromNccl(state, "NCCL", comm_));
      ALLO_ASSIGN_OR_RETURN(*done, is_done());
      return absl::OkStatus();
    });
  }

  template <class Ask>
  absl::Status Poll(absl::string_view what, Ask ask) {
    WaitLimit patience(timeout_s_);
    for (bool done = false;;) {
      ALLO_RETURN_IF_ERROR(Check(ask(&done)));
      if (done) return absl::OkStatus();
      if (patience.Ended()) {
        return Check(absl::AbortedError(
            absl::StrFormat("%s: no answer from other ranks in %g s", what, timeout_s_)));
      }
      std::this_thread::yield();
    }
  }

  const Options options_;
  const double timeout_s_;
  cudaStream_t stream_ = nullptr;
  int rank_ = 0;
  int world_size_ = 1;
#ifdef ALLO_COMM_MPI
  std::unique_ptr<MpiWorld> world_;
#endif
  ncclComm_t comm_ = nullptr;
  bool failed_ = false;
  void* scratch_ = nullptr;
  // Of BeginSum; none before its first call.
  cudaStream_t parts_stream_ = nullptr;
  cudaEvent_t parts_ready_ = nullptr, parts_summed_ = nullptr;
  bool parts_begun_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Collective>> CreateNccl(const Options& options) {
  int gpus = 0;
  const cudaError_t error = cudaGetDeviceCount(&gpus);
  if (error != cudaSuccess || gpus == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is no GPU on this machine (", cudaGetErrorString(error),
                     "): use the collective mpi or self with device cpu"));
  }
  if (!options.on_gpu) {
    return absl::FailedPreconditionError(
        "collective 'nccl' sums memory of a GPU; for host memory use mpi or self");
  }
#ifndef ALLO_COMM_MPI
  if (LaunchedRanks() != 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("the launcher started ", LaunchedRanks(),
                     " ranks; this executable was built without MPI and can only be one: build it "
                     "where MPI is installed"));
  }
#endif
  auto nccl = std::make_unique<Nccl>(options);
  ALLO_RETURN_IF_ERROR(nccl->Connect());
  return nccl;
}

}  // namespace allometry::comm
