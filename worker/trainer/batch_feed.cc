#include "worker/trainer/batch_feed.h"

namespace allometry::trainer {
namespace {

class HostFeed final : public BatchFeed {
 public:
  absl::StatusOr<FedUpdate> Push(const models::Batch& batch,
                                 const models::UpdateInputs& inputs) override {
    inputs_ = inputs;
    return FedUpdate{batch, &inputs_};
  }

 private:
  models::UpdateInputs inputs_;
};

}  // namespace

std::unique_ptr<BatchFeed> CreateHostFeed() { return std::make_unique<HostFeed>(); }

}  // namespace allometry::trainer
