#include <unistd.h>

#include "base/check.h"
#include "worker/comm/backends.h"

namespace allometry::comm {
namespace {

class Self final : public Collective {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  absl::Status AllReduceSum(std::span<float>, std::span<double>) override {
    return absl::OkStatus();
  }
  absl::Status AllReduceSum(std::span<double>) override { return absl::OkStatus(); }
  absl::Status Wait() override { return absl::OkStatus(); }
  absl::Status Broadcast(std::span<std::byte>, int root) override {
    ALLO_CHECK(root == 0) << "root " << root;
    return absl::OkStatus();
  }
  absl::Status Barrier() override { return absl::OkStatus(); }
  void Abort(int exit_code) override { _exit(exit_code); }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Collective>> CreateSelf(const Options&) {
  if (const int ranks = LaunchedRanks(); ranks != 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "collective 'self' is for one rank; the launcher started ", ranks, ": use mpi or nccl"));
  }
  return std::make_unique<Self>();
}

}  // namespace allometry::comm
