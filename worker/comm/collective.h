// Communication between the ranks of one attempt: sums, broadcast, barrier, abort.
//
// Backends are rows of a table (registry.cc): `self` (one rank), `mpi` (host memory), `nccl` (GPU
// memory). Every rank makes the same calls in the same order. Sums have the same bits on every
// rank, and the same bits again when the same ranks repeat them.
//
// Threads: one thread uses a Collective; Abort alone may come from another one, at any time.
// Aborted: another rank is gone or did not answer in time; the job cannot continue. A rank that
// waits uses next to no processor time.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace allometry::comm {

class Collective {
 public:
  // Waits for the other ranks and leaves the group. After an error call Abort instead.
  virtual ~Collective() = default;

  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  // The library whose version decides the bits of a sum: "NCCL 2.28.9 (Ring, Simple)"; empty where
  // the trainer's own build does.
  virtual std::string library() const { return ""; }

  // values[i] = the sum over ranks of values[i], and scalars[i] likewise, in the memory of the
  // backend's device; scalars are few and may be none. With nccl it is enqueued on the GPU's
  // stream, in order with the work of that stream.
  virtual absl::Status AllReduceSum(std::span<float> values, std::span<double> scalars) = 0;
  // The same sum of a part of the values while others are still being computed: it begins once the
  // work that the GPU's stream has now is done, on a stream of the backend's own, and JoinSums lets
  // the GPU's stream wait for all that have begun. Both only enqueue, also while the stream is
  // captured. The bits are those of AllReduceSum of the part. Host backends add up at once.
  virtual absl::Status BeginSum(std::span<float> values) { return AllReduceSum(values, {}); }
  virtual absl::Status JoinSums() { return absl::OkStatus(); }
  // The same for a few host values, done when it returns.
  virtual absl::Status AllReduceSum(std::span<double> values) = 0;
  // Returns when all work enqueued on the GPU's stream is done, sums and others. Before anything
  // that blocks until the stream is empty: that would wait for a lost rank without a timeout.
  virtual absl::Status Wait() = 0;
  // Returns when `done`, which is asked again and again, says so or fails; Aborted where another
  // rank is gone or does not answer meanwhile. For events of the GPU's stream, which a lost rank
  // may hold up.
  virtual absl::Status WaitUntil(const std::function<absl::StatusOr<bool>()>& done);
  // Rank `root`'s `bytes` of host memory to every rank.
  virtual absl::Status Broadcast(std::span<std::byte> bytes, int root) = 0;
  // Returns when every rank has called it.
  virtual absl::Status Barrier() = 0;

  // Ends every rank of the job at once and this process with `exit_code`, which mpirun and srun
  // then return. Does not wait for anybody, flushes nothing.
  [[noreturn]] virtual void Abort(int exit_code) = 0;
};

struct Options {
  bool on_gpu = false;  // AllReduceSum(float) gets memory of a GPU
  // nccl: called once the ranks have met, with the GPU that is this rank's; returns the
  // cudaStream_t that its work is enqueued on. A failure on one rank is told on all. Not set: the
  // default stream.
  std::function<absl::StatusOr<void*>(int gpu)> open_gpu;
  // nccl: the same algorithm and protocol whatever the size of a message and whatever NCCL's
  // measurements say: Ring and Simple, unless NCCL_ALGO and NCCL_PROTO name others.
  bool deterministic = false;
  // How long to wait for the other ranks: at the set-up, in every call and at the end. Above what
  // one rank may do alone, such as writing a checkpoint.
  double timeout_s = 600;
  // Called at most once, from another thread, where a call cannot end in spite of the timeout: a
  // peer hangs in the middle of an exchange. Should end the process. By default says it on standard
  // error and exits with 1, upon which the launcher ends the job.
  std::function<void(const absl::Status& why)> on_hang;
  bool share_memory = true;  // mpi: false waits on one host as on several (for tests)
};

struct Backend {
  const char* name;
  const char* description;
  // FailedPrecondition says what is missing (ranks, GPU, memory kind) and what to use instead.
  absl::StatusOr<std::unique_ptr<Collective>> (*create)(const Options& options);
};

std::span<const Backend> Backends();
// NotFound lists the names.
absl::StatusOr<std::unique_ptr<Collective>> Create(absl::string_view name, const Options& options);

// How many ranks the launcher (mpirun, srun) says it started; 1 where there is no launcher.
int LaunchedRanks();
// Which of them this one is, before there is a collective to ask; 0 where there is no launcher.
int LaunchedRank();

}  // namespace allometry::comm
