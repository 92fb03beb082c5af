// worker/comm/nccl.cc under mpirun, on a stand-in for NCCL (nccl_standin.h). Ends with 0 where sums
// were as they must be. --stop, --kill and --vanish lose the last rank in the middle; what the
// others see of it ends the job with 75. --parts at the end: sums in parts too; --captured: those
// in a captured graph.
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "tests/comm/nccl_standin.h"
#include "tests/testing/cuda_standin.h"
#include "worker/comm/collective.h"

namespace allometry::comm {
namespace {

constexpr int kExpected = 75;
constexpr int kSteps = 20;

float Contribution(int rank, int step, size_t i) {
  return 1e-3f * static_cast<float>(i % 977) * static_cast<float>(rank + step);
}

// As a backward pass: a part of the gradient is made while the sums of those before it are under
// way, and read once they are joined.
constexpr size_t kParts = 5, kPartFloats = 10'000;

absl::Status EnqueueInParts(Collective& ranks, const int* step, std::vector<float>& gradient,
                            std::vector<float>& read) {
  cudaStream_t const stream = nullptr;
  for (size_t part = kParts; part-- > 0;) {
    StandinEnqueue(stream, [&gradient, step, part, rank = ranks.rank()] {
      usleep(2000);  // whoever does not wait sums what was there before
      for (size_t i = part * kPartFloats; i < (part + 1) * kPartFloats; ++i) {
        gradient[i] = Contribution(rank, *step, i);
      }
    });
    ALLO_RETURN_IF_ERROR(
        ranks.BeginSum(std::span(gradient).subspan(part * kPartFloats, kPartFloats)));
  }
  ALLO_RETURN_IF_ERROR(ranks.JoinSums());
  StandinEnqueue(stream, [&] { read = gradient; });
  return absl::OkStatus();
}

// `captures`: enqueued once as it is, then captured, and the capture replayed.
absl::Status ExchangeInParts(Collective& ranks, int update, bool captures) {
  static int step;  // read by the works, as they are replayed
  static std::vector<float> gradient(kParts * kPartFloats), read;
  static bool captured = false;
  step = update;
  if (!captures || update == 1) {
    ALLO_RETURN_IF_ERROR(EnqueueInParts(ranks, &step, gradient, read));
  } else {
    if (!captured) {
      StandinBeginCapture(nullptr);
      const absl::Status recorded = EnqueueInParts(ranks, &step, gradient, read);
      const cudaError_t end = StandinEndCapture(nullptr);
      ALLO_RETURN_IF_ERROR(recorded);
      if (end != cudaSuccess) return absl::InternalError(absl::StrCat("capture: error ", end));
      captured = true;
    }
    StandinReplay(nullptr);
  }
  ALLO_RETURN_IF_ERROR(ranks.Wait());
  for (size_t i = 0; i < read.size(); ++i) {
    float sum = Contribution(0, update, i);
    for (int rank = 1; rank < ranks.world_size(); ++rank) sum += Contribution(rank, update, i);
    if (read[i] != sum) return absl::InternalError(absl::StrCat("float ", i, " of ", update));
  }
  return absl::OkStatus();
}

// One update's exchanges; false, with what is wrong, where a sum is.
absl::Status Exchange(Collective& ranks, int step) {
  std::vector<float> gradient(50'000);
  for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = Contribution(ranks.rank(), step, i);
  std::vector<double> scalars = {0.5 * ranks.rank(), 1};
  ALLO_RETURN_IF_ERROR(ranks.AllReduceSum(std::span(gradient), std::span(scalars)));
  ALLO_RETURN_IF_ERROR(ranks.Wait());
  const int n = ranks.world_size();
  for (size_t i = 0; i < gradient.size(); ++i) {
    float sum = Contribution(0, step, i);
    for (int rank = 1; rank < n; ++rank) sum += Contribution(rank, step, i);
    if (gradient[i] != sum) return absl::InternalError(absl::StrCat("float ", i, " of ", step));
  }
  if (scalars[0] != 0.25 * n * (n - 1) || scalars[1] != n) return absl::InternalError("doubles");
  double host = 1;
  ALLO_RETURN_IF_ERROR(ranks.AllReduceSum(std::span<double>(&host, 1)));
  if (host != n) return absl::InternalError("a double of the host");
  std::vector<int> bytes(30'000, ranks.rank());
  ALLO_RETURN_IF_ERROR(ranks.Broadcast(std::as_writable_bytes(std::span(bytes)), step % n));
  if (bytes != std::vector<int>(30'000, step % n)) return absl::InternalError("a broadcast");
  return ranks.Barrier();
}

int Main(const std::string& mode, bool parts) {
  Options options;
  options.on_gpu = true;
  options.timeout_s = 3;
  options.deterministic = mode == "--deterministic";
  // The launcher's word on the place of a rank does not count.
  setenv("OMPI_COMM_WORLD_LOCAL_RANK", "7", 1);
  options.open_gpu = [&](int gpu) -> absl::StatusOr<void*> {
    std::cerr << absl::StrCat("rank ", LaunchedRank(), " has GPU ", gpu, "\n");
    if (mode == "--no-gpu" && LaunchedRank() == 1) return absl::InternalError("GPU 1 is broken");
    return nullptr;
  };
  auto created = Create("nccl", options);
  if (!created.ok()) {
    std::cerr << "set-up: " << created.status() << std::endl;
    return kExpected;
  }
  Collective& ranks = **created;
  std::cerr << "rank " + std::to_string(ranks.rank()) + " sums by " + ranks.library() + "\n";
  for (int step = 1; step <= kSteps; ++step) {
    if (step == 5 && ranks.rank() == ranks.world_size() - 1) {
      if (mode == "--stop") raise(SIGSTOP);
      if (mode == "--kill") raise(SIGKILL);
      if (mode == "--vanish") {
        StandinVanish();
        pause();
      }
    }
    const bool captures = mode == "--captured";
    absl::Status status;
    if (captures || parts) status = ExchangeInParts(ranks, step, captures);
    if (status.ok()) status = Exchange(ranks, step);
    if (status.ok()) continue;
    std::cerr << "step " << step << ": " << status << std::endl;
    ranks.Abort(absl::IsAborted(status) ? kExpected : 1);
  }
  return 0;
}

}  // namespace
}  // namespace allometry::comm

int main(int argc, char** argv) {
  const std::string last = argv[argc - 1];
  return allometry::comm::Main(argc > 1 ? argv[1] : "", last == "--parts");
}
