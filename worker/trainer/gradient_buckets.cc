#include "worker/trainer/gradient_buckets.h"

#include <utility>

namespace allometry::trainer {

absl::Status GradientBuckets::Add(std::span<float> gradient, int64_t begin, int64_t end) {
  std::span<float> range = gradient.subspan(begin, end - begin);
  if (range.data() + range.size() == open_.data()) {
    range = {range.data(), range.size() + open_.size()};
  } else {
    ALLO_RETURN_IF_ERROR(Begin());
  }
  open_ = range;
  return static_cast<int64_t>(open_.size()) < elements_ ? absl::OkStatus() : Begin();
}

absl::Status GradientBuckets::Finish() {
  ALLO_RETURN_IF_ERROR(Begin());
  return collective_.JoinSums();
}

absl::Status GradientBuckets::Begin() {
  const std::span<float> bucket = std::exchange(open_, {});
  return bucket.empty() ? absl::OkStatus() : collective_.BeginSum(bucket);
}

}  // namespace allometry::trainer
