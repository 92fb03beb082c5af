// The run that trains a sweep's tokenizer, and the dataset as its grid reads it.
//
// The tokenizer's recipe includes its last step: the rate falls along half a cosine from the end of
// the warm-up to a tenth at `steps`, so its key says how long it is trained. It has no cell; its
// tokens, `batch_tokens` and D count codes, grid^2 an image.
#pragma once

#include <optional>
#include <string>

#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "proto/types.pb.h"

namespace allometry::sweep {

// As stored in Run.size.
inline constexpr char kTokenizerSize[] = "tokenizer";

// file.tokenizer is set. key, size, stage, spec, params and FLOPs of the run are set. Unset after a
// mistake: a dataset without images, images that cannot be cut so, a family that sees images
// itself.
std::optional<v1::Run> TokenizerRun(const SweepFile& file, const data::Manifest& manifest,
                                    Mistakes& mistakes);

// The manifest of the tokens; `manifest` has images.
data::Manifest ReadByGrid(const SweepFile& file, const data::Manifest& manifest);

// "vqvae, 8 x 8 codes of 512, 2000 steps (key 0123456789abcdef)", or "none" where there is none.
std::string TokenizerText(const v1::Run* tokenizer);

}  // namespace allometry::sweep
