// What a dataset of frames with images becomes when a tokenizer of images reads it: the same frames
// and splits, an observation's tokens being the codes of its image.
//
//   ids   0 .. codes-1 the observation, then the action dimensions in their order, then the outcome
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "data/manifest.h"

namespace allometry::data {

struct ImageCodes {
  int64_t tokens_per_observation = 0;  // g^2
  int64_t codes = 0;                   // of the codebook
  std::string tokenizer_hash;          // of its file; empty where it is not trained yet
};

// FailedPrecondition where the dataset has no frames with images. Name, hash, kind and generator
// stay those of the source; there are no shards and no images.
absl::StatusOr<Manifest> TokenizedManifest(const Manifest& source, const ImageCodes& codes);

// A frame's tokens after its observation, from the source's ids to those of `tokenized`. DataLoss
// for an id that is not of its place's segment.
absl::Status RenumberAfterObservation(const Manifest& source, const Manifest& tokenized,
                                      std::span<const int32_t> from, std::span<int32_t> to);

}  // namespace allometry::data
