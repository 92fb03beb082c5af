// Sequences of frames that become longer than a model's context.
//
// When a frame more would not fit, the decoder begins again with the last K - 1 whole frames, K
// being the frames of the context: one prompt of (K - 1) * frame_tokens tokens for each frame from
// then on. Under rotary positions a row's logits depend on the distances of its tokens alone, so
// they are those of a model that sees exactly these K frames. Under learned positions the frames
// stand at other places than when they were first read, as in any training window that begins
// within an episode.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "models/decode.h"

namespace allometry::models {

// Not thread-safe. `decoder` outlives it and is used by nobody else meanwhile.
class SlidingDecoder {
 public:
  // frames >= 2 and frames * frame_tokens at most the decoder's context (checked in Begin).
  SlidingDecoder(Decoder& decoder, int frame_tokens, int frames)
      : decoder_(decoder), frame_tokens_(frame_tokens), frames_(frames) {}

  // As Decoder::Begin. A row has no last token.
  absl::Status Begin(std::span<const float> parameters, int rows);
  // As Decoder::Append, of n tokens that lie in one frame: InvalidArgument where they go over its
  // end.
  absl::Status Append(std::span<const int32_t> tokens, int n);
  absl::Status Logits(Segment ids, std::span<float> out) { return decoder_.Logits(ids, out); }

 private:
  // Of the frames in the decoder all but the first, once more.
  absl::Status DropOldestFrame();

  Decoder& decoder_;
  const int frame_tokens_, frames_;
  std::span<const float> parameters_;
  int rows_ = 0;
  int length_ = 0;                                 // tokens of a row in the decoder
  std::vector<std::vector<int32_t>> rows_tokens_;  // those, by row
};

}  // namespace allometry::models
