// Videos from one real frame and real actions: the held-out windows of a dataset of frames,
// generated again by a model.
//
// A window is K frames [z_1 .. z_dz, a_1 .. a_da]. The first frame is the real one; of each later
// frame the observation's tokens are sampled, one after the other, at temperature 1 from the
// softmax over the observation's ids, and the rest is the real frame's. Token t of window w is
// drawn with Uniform(seed, w, t), so a video is a function of (parameters, seed, w), whatever is
// generated with it. Of a video longer than the model's context the model sees the last frames
// (models/sliding_decoder.h).
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/status.h"
#include "data/manifest.h"
#include "models/decode.h"

namespace allometry::trainer {

struct VideoShape {
  int frames = 0;              // K, 2 or more
  int context_frames = 0;      // those that the model sees at once
  int frame_tokens = 0;        // dz + da
  int observation_tokens = 0;  // dz
  models::Segment observation;

  int window() const { return frames * frame_tokens; }
};

// Videos of `frames` frames, or of 0: of as many as the context has. FailedPrecondition where the
// dataset has no frames, `context` tokens are not two whole ones, or frames is 1.
absl::StatusOr<VideoShape> VideoShapeOf(const data::Manifest& manifest, int64_t context,
                                        int64_t frames);

// `real` and `generated`: [windows, K, dz + da]. `go_on` is asked now and then; where it says no,
// the rest is left as it is and the result is false.
absl::StatusOr<bool> GenerateVideos(models::Decoder& decoder, std::span<const float> parameters,
                                    const VideoShape& shape, uint64_t seed,
                                    std::span<const int32_t> real, std::span<int32_t> generated,
                                    const std::function<bool()>& go_on);

}  // namespace allometry::trainer
