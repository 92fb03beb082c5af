// How an update gets its batch and its numbers to where the training step reads them.
//
// On a CPU that is where they are. On a GPU they go through two pinned buffers on a stream of their
// own, ahead of the update that reads them:
//
//   host     writes pinned buffer n mod 2        once its copy of two updates ago is over
//   copies   pinned -> device buffer n mod 2     once update n - 2 has taken its own from there
//   updates  device buffer n mod 2 -> the place  in order with the updates; after the copy
//
// The place is the same for every update, so that a captured update (captured_work.h) finds it.
#pragma once

#include <functional>
#include <memory>

#include "base/status.h"
#include "models/train_step.h"
#include "models/update_numbers.h"

namespace allometry::trainer {

struct FedUpdate {
  models::Batch batch;                           // host spans, and on a GPU the device's pointers
  const models::UpdateInputs* inputs = nullptr;  // in memory of the device
};

class BatchFeed {
 public:
  virtual ~BatchFeed() = default;

  // Both are read before it returns; what is fed is valid until the next Push. Every batch of a
  // feed has the same sizes.
  virtual absl::StatusOr<FedUpdate> Push(const models::Batch& batch,
                                         const models::UpdateInputs& inputs) = 0;
};

// CPUs: hands on what it gets.
std::unique_ptr<BatchFeed> CreateHostFeed();

// Returns once `done` says so, or an error: of `done`, or Aborted where another rank is lost.
using WaitUntil = std::function<absl::Status(const std::function<absl::StatusOr<bool>()>& done)>;

// GPUs: `stream`, a cudaStream_t, is that of the updates. The CUDA runtime alone, without LibTorch.
std::unique_ptr<BatchFeed> CreateCudaFeed(void* stream, WaitUntil wait);

}  // namespace allometry::trainer
