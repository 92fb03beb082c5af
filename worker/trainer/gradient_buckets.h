// The gradient of an update, added up over the ranks in buckets while the backward pass goes on.
//
// The backward pass finishes the last layers' gradients first. Ranges that follow each other in the
// buffer are gathered until they are a bucket, and its sum begins (comm::Collective::BeginSum).
// Where the buckets end is a function of the shape and of the bucket's size, so every rank has the
// same ones and so has every update: the order of a sum may depend on them, and its bits.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "worker/comm/collective.h"
#include "worker/trainer/training.h"

namespace allometry::trainer {

// Whether a gradient of so many elements is summed in buckets: among several ranks, where it is
// more than one bucket.
inline bool SumsInBuckets(const TrainingParts& parts, int64_t elements) {
  return parts.collective->world_size() > 1 && parts.bucket_elements > 0 &&
         elements > parts.bucket_elements;
}

class GradientBuckets {
 public:
  // Elements of a bucket, at least one; the last one of a run of ranges may be smaller.
  GradientBuckets(comm::Collective& collective, int64_t elements)
      : collective_(collective), elements_(elements) {}

  // `gradient`, whole, has its final values in [begin, end).
  absl::Status Add(std::span<float> gradient, int64_t begin, int64_t end);
  // Sums what is left and lets the device's stream wait for all buckets.
  absl::Status Finish();

 private:
  absl::Status Begin();

  comm::Collective& collective_;
  const int64_t elements_;
  std::span<float> open_;  // finished and not begun
};

}  // namespace allometry::trainer
