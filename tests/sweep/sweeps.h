// Sweep files and datasets in a line or two.
#pragma once

#include <string>

#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "coordinator/sweep/difference.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/sweep_reader.h"
#include "data/manifest.h"
#include "gtest/gtest.h"

namespace allometry::sweep {

// A whole sweep; the line numbers are those that messages give.
inline constexpr absl::string_view kSweep = R"(name: demo
dataset: words
model:
  family: gpt
  context: 32
  sizes: [5k, 20k, 80k]
training:
  batch_tokens: 4096
  warmup_steps: 10
  learning_rate: 3e-3
  seeds: [1]
budgets:
  flops: [1e10, 1e11, 1e12]
max_epochs: 100
devices: 1
)";

// One explicit shape of known arithmetic: V = 99, d = 32, L = 2, T = 32, warm-up 10; 100k tokens
// are step 24, 1M are step 244.
inline constexpr absl::string_view kOneShape = R"(name: demo
dataset: words
model:
  context: 32
  shapes: [{layers: 2, heads: 1, width: 32}]
training:
  batch_tokens: 4096
  warmup_steps: 10
  learning_rate: 3e-3
budgets:
  tokens: [100_000, 1M]
)";

// kSweep with `from` replaced; `from` must be in it.
inline std::string SweepWith(absl::string_view from, absl::string_view to,
                             absl::string_view sweep = kSweep) {
  EXPECT_NE(sweep.find(from), absl::string_view::npos) << from;
  return absl::StrReplaceAll(sweep, {{from, to}});
}

inline data::Manifest Words() {
  data::Manifest manifest;
  manifest.name = "words";
  manifest.kind = data::DatasetKind::kText;
  manifest.vocabulary = 99;
  manifest.tokenizer = "chars";
  manifest.tokenizer_hash = "00000000000000aa";
  manifest.unique_tokens = 36'000'000;
  manifest.heldout_tokens = 4'000'000;
  manifest.hash = "00000000000000dd";
  return manifest;
}

// 1000 episodes of 20 frames with images, an observation of 64 tokens and an action of 1.
inline data::Manifest Walk() {
  data::Manifest manifest;
  manifest.name = "walk";
  manifest.kind = data::DatasetKind::kTrajectories;
  manifest.segments = {{.name = "observation", .begin = 0, .end = 4096},
                       {.name = "action:0", .begin = 4096, .end = 4105}};
  manifest.vocabulary = 4105;
  manifest.tokenizer_hash = "00000000000000aa";
  manifest.frames = data::Frames{.tokens_per_observation = 64,
                                 .tokens_per_action = 1,
                                 .frames_per_episode = 20,
                                 .frames_left_out = 0,
                                 .image_height = 32,
                                 .image_width = 32,
                                 .image_channels = 3};
  manifest.documents = 1100;
  manifest.unique_tokens = 1000 * 20 * 65;
  manifest.heldout_tokens = 100 * 20 * 65;
  manifest.hash = "00000000000000dd";
  return manifest;
}

inline absl::StatusOr<Expansion> ExpandText(absl::string_view yaml,
                                            const data::Manifest& manifest = Words()) {
  ALLO_ASSIGN_OR_RETURN(const SweepFile file, ParseSweepFile(yaml, "sweeps/a.yaml"));
  return Expand(file, manifest);
}

}  // namespace allometry::sweep
