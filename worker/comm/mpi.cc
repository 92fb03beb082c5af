#include <utility>

#include "worker/comm/backends.h"
#include "worker/comm/mpi_world.h"

namespace allometry::comm {
namespace {

class Mpi final : public Collective {
 public:
  explicit Mpi(std::unique_ptr<MpiWorld> world) : world_(std::move(world)) {}
  int rank() const override { return world_->rank(); }
  int world_size() const override { return world_->size(); }
  absl::Status AllReduceSum(std::span<float> values, std::span<double> scalars) override {
    return world_->AllReduceSum(values, scalars);
  }
  absl::Status AllReduceSum(std::span<double> values) override {
    return world_->AllReduceSum({}, values);
  }
  absl::Status Wait() override { return absl::OkStatus(); }
  absl::Status Broadcast(std::span<std::byte> bytes, int root) override {
    return world_->Broadcast(bytes, root);
  }
  absl::Status Barrier() override { return world_->Barrier(); }
  void Abort(int exit_code) override { world_->Abort(exit_code); }

 private:
  const std::unique_ptr<MpiWorld> world_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Collective>> CreateMpi(const Options& options) {
  if (options.on_gpu) {
    return absl::FailedPreconditionError(
        "collective 'mpi' sums host memory; for memory of a GPU use nccl");
  }
  ALLO_ASSIGN_OR_RETURN(std::unique_ptr<MpiWorld> world, MpiWorld::Join(options));
  return std::make_unique<Mpi>(std::move(world));
}

}  // namespace allometry::comm
