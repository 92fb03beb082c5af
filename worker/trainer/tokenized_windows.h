// Windows of frames whose observations are the codes of a tokenizer.
//
// A dataset of files is encoded once for a run root: the tokens are a dataset of their own,
//
//   ROOT/tokens/<hash of dataset.json>-<hash of the tokenizer's file>/{dataset.json, *.npy}
//
// made under a lock by the first run that needs it, its dataset.json last, so that a folder without
// one is an interrupted make; every start verifies the hashes of its files, and makes it anew where
// they do not hold. A generated dataset has no end and is encoded as it is read.
//
// Tokens do not depend on who asks: files are encoded in groups of 64 frames from the beginning of
// their split, generated windows each by itself, so that a frame is always in the same group.
#pragma once

#include <string>

#include "base/status.h"
#include "data/window_source.h"
#include "run/run_spec.h"

namespace allometry::trainer {

// `manifest` is that of the identity's dataset; options.context counts the tokenizer's tokens. The
// manifest of the result is data::TokenizedManifest's.
absl::StatusOr<data::WindowSources> OpenTokenized(const std::string& run_dir,
                                                  const std::string& data_dir,
                                                  const run::RunInput& input,
                                                  const data::Manifest& manifest,
                                                  const data::WindowOptions& options);

}  // namespace allometry::trainer
