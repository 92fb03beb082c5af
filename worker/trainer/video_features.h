// Two sets of features of videos, for Fréchet distances (metrics/frechet.h). On CPUs.
//
//   random    of a clip: a 3-D convolution network that is never trained (8, 16, 32, 32 channels,
//             3 x 3 x 3, ReLU), mean over time and space: 32 numbers
//   inverse   of a transition: the 32 hidden units of a network that tells from two successive
//             observations which action was taken (two 3 x 3 convolutions, 16 and 32 channels,
//             ReLU, mean over space, then one linear map for each action dimension), trained on
//             transitions of the training split
//
// Both are functions of (seed, training split): attempts on one machine have the same bits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "data/window_source.h"
#include "worker/trainer/observation_view.h"
#include "worker/trainer/videos.h"

namespace allometry::trainer {

inline constexpr int kVideoFeatures = 32;

class VideoFeatures {
 public:
  virtual ~VideoFeatures() = default;

  // `videos`: [windows, K, frame tokens]. Rows of kVideoFeatures numbers: one a window.
  virtual std::vector<float> Random(std::span<const int32_t> videos) const = 0;
  // One a transition, K - 1 a window. Empty where the dataset has no actions.
  virtual std::vector<float> Inverse(std::span<const int32_t> videos) const = 0;
};

struct VideoFeatureOptions {
  uint64_t seed = 0;
  int updates = 400;  // of the inverse network
  int windows = 16;   // an update
};

// Trains the inverse network.
absl::StatusOr<std::unique_ptr<VideoFeatures>> CreateVideoFeatures(
    const VideoShape& shape, const ObservationView& view, const data::WindowSources& sources,
    const VideoFeatureOptions& options);

}  // namespace allometry::trainer
