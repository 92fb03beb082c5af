// The configurations of the tables of Pearce et al. 2025, by name: "wm-540/27M".
//
//   wm-256     WM-Token, d_z 256, d_a 16: frames of 272 tokens, K = 10
//   wm-540     WM-Token, d_z 540: frames of 556 tokens, K = 10
//   bc-540     BC-Token on the same sequences; bc-540-small its small models (Table 8)
//   bc-cnn     K = 10 frames of 128 x 128 x 3, 68 action ids
//   rt1-16 .. rt1-256   WM-Token of the robot data with d_z 16, 36, 64, 100, 256 and d_a 4, K = 2
//   char       the character ablation: context 16, 128 ids
//
// Vocabularies: 4096 observation ids, and action ids of their own for each dimension: 12 buttons of
// 2 and 4 sticks of 11 make 68, hence 4164; robots 4 x 500, hence 6096. The paper does not say
// whether dimensions share ids; at small N it matters. Layouts of rt1 are not in the paper: they
// are NearestShape's for its parameter counts. Learning rates of char are not either: they are
// ours. Batches are whole sequences: the paper's 2M tokens (wm-256/894M), 500 000 (bc-540-small)
// and 34 000 (rt1) are the nearest number of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "models/shape.h"

namespace allometry::models {

struct Preset {
  std::string name;
  Shape shape;
  int frames = 0;  // K of a window; 0: the sequence has no frames
  std::string objective;
  double learning_rate = 0;
  int64_t batch_sequences = 0;
  double table_params = 0;  // N as the paper's label has it

  int64_t batch_tokens() const { return batch_sequences * shape.context; }
};

std::span<const Preset> Presets();
// NotFound with the nearest names: those of the same group, or the groups.
absl::StatusOr<Preset> FindPreset(absl::string_view name);

}  // namespace allometry::models
