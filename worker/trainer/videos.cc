#include "worker/trainer/videos.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "models/sliding_decoder.h"

namespace allometry::trainer {
namespace {

// Rows that are decoded together: enough for the products, few enough for the caches of keys.
constexpr int64_t kGroup = 128;

// The windows that are decoded together, from number `first`.
class Group {
 public:
  Group(models::Decoder& decoder, const VideoShape& shape, int64_t first, int64_t rows,
        std::span<int32_t> tokens)
      : decoder_(decoder, shape.frame_tokens, shape.context_frames),
        shape_(shape),
        first_(first),
        rows_(rows),
        tokens_(tokens) {}

  absl::Status Run(std::span<const float> parameters, uint64_t seed) {
    ALLO_RETURN_IF_ERROR(decoder_.Begin(parameters, static_cast<int>(rows_)));
    const int rest = shape_.frame_tokens - shape_.observation_tokens;
    ALLO_RETURN_IF_ERROR(AppendColumns(0, shape_.frame_tokens));
    for (int frame = 1; frame < shape_.frames; ++frame) {
      const int begin = frame * shape_.frame_tokens, end = begin + shape_.observation_tokens;
      for (int position = begin; position < end; ++position) {
        ALLO_RETURN_IF_ERROR(Sample(position, seed));
        ALLO_RETURN_IF_ERROR(AppendColumns(position, 1));
      }
      if (rest > 0) ALLO_RETURN_IF_ERROR(AppendColumns(end, rest));
    }
    return absl::OkStatus();
  }

 private:
  int32_t& At(int64_t row, int position) { return tokens_[row * shape_.window() + position]; }

  absl::Status AppendColumns(int position, int count) {
    column_.resize(rows_ * count);
    for (int64_t row = 0; row < rows_; ++row) {
      for (int i = 0; i < count; ++i) column_[row * count + i] = At(row, position + i);
    }
    return decoder_.Append(column_, count);
  }

  absl::Status Sample(int position, uint64_t seed) {
    const int ids = shape_.observation.size();
    logits_.resize(rows_ * ids);
    ALLO_RETURN_IF_ERROR(decoder_.Logits(shape_.observation, logits_));
    for (int64_t row = 0; row < rows_; ++row) {
      const double u = models::Uniform(seed, first_ + row, position);
      At(row, position) = shape_.observation.begin +
                          models::SampleToken(std::span(logits_).subspan(row * ids, ids), u);
    }
    return absl::OkStatus();
  }

  models::SlidingDecoder decoder_;
  const VideoShape& shape_;
  const int64_t first_;
  const int64_t rows_;
  const std::span<int32_t> tokens_;
  std::vector<int32_t> column_;
  std::vector<float> logits_;
};

}  // namespace

absl::StatusOr<VideoShape> VideoShapeOf(const data::Manifest& manifest, int64_t context,
                                        int64_t frames) {
  if (!manifest.frames.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("dataset %s has no frames to generate", manifest.name));
  }
  VideoShape shape;
  shape.frame_tokens = static_cast<int>(manifest.frames->tokens_per_frame());
  shape.observation_tokens = static_cast<int>(manifest.frames->tokens_per_observation);
  shape.context_frames = static_cast<int>(context / shape.frame_tokens);
  shape.frames = frames > 0 ? static_cast<int>(frames) : shape.context_frames;
  if (shape.context_frames < 2 || shape.frames < 2 || context % shape.frame_tokens != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("a window of %d tokens: allowed are 2 or more whole frames of %d", context,
                        shape.frame_tokens));
  }
  const auto segment = data::FindSegment(manifest, "observation");
  if (!segment) {
    return absl::FailedPreconditionError(
        absl::StrFormat("dataset %s has no segment observation", manifest.name));
  }
  shape.observation = {static_cast<int32_t>(segment->begin), static_cast<int32_t>(segment->end)};
  return shape;
}

absl::StatusOr<bool> GenerateVideos(models::Decoder& decoder, std::span<const float> parameters,
                                    const VideoShape& shape, uint64_t seed,
                                    std::span<const int32_t> real, std::span<int32_t> generated,
                                    const std::function<bool()>& go_on) {
  ALLO_CHECK(real.size() == generated.size() && real.size() % shape.window() == 0) << real.size();
  const auto windows = static_cast<int64_t>(real.size()) / shape.window();
  std::copy(real.begin(), real.end(), generated.begin());
  for (int64_t first = 0; first < windows; first += kGroup) {
    if (!go_on()) return false;
    const int64_t rows = std::min(kGroup, windows - first);
    Group group(decoder, shape, first, rows,
                generated.subspan(first * shape.window(), rows * shape.window()));
    ALLO_RETURN_IF_ERROR(group.Run(parameters, seed));
  }
  return true;
}

}  // namespace allometry::trainer
