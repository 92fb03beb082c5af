// The sizes of the TWM agent (Robine et al. 2023): presets of run::TwmRecipe, parameters and cost.
//
//   observation model   4 grey frames of 64 x 64 -> convolutions c, 2c, 4c, 8c (kernel 4, stride 2,
//                       SiLU) -> linear layers -> logits of g x k; back by 16c values and
//                       transposed convolutions 4c, 2c, c, 4 (kernels 5, 5, 6, 6, stride 2)
//   dynamics            Transformer-XL over the tokens z, a, r of each step, and three heads
//   actor, critic       layers of `agent_width` on the latent
//
// Arithmetic only: no LibTorch.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "run/twm_recipe.h"

namespace allometry::models::twm {

inline constexpr int64_t kSide = 64;   // of an image, pixels
inline constexpr int64_t kFrames = 4;  // stacked, the newest last

struct Preset {
  const char* name;
  const char* what;
  run::TwmRecipe recipe;
  // Of the run, not of the recipe.
  double learning_rate;
  int64_t train_steps;
};
// "published" (the paper's, by its code), "reduced" (for a CPU), "tiny" (for tests).
std::span<const Preset> Presets();
// InvalidArgument names those that are allowed.
absl::StatusOr<const Preset*> FindPreset(const std::string& name);

// InvalidArgument where sizes do not fit each other; each alone is checked by its row
// (run/fields.h).
absl::Status CheckRecipe(const run::TwmRecipe& recipe);

// Tokens of a step: latent, action and, where it is an input, the reward.
inline int64_t TokensPerStep(const run::TwmRecipe& recipe) { return recipe.reward_input ? 3 : 2; }

struct ParamCounts {
  int64_t observation = 0, dynamics = 0, actor = 0, critic = 0;
  int64_t total() const { return observation + dynamics + actor + critic; }
};
ParamCounts CountParams(const run::TwmRecipe& recipe, int64_t actions);

// FLOPs of the updates, a multiply-add being two, backward twice forward; those of attention's
// scores, of norms and of the environment are left out.
struct UpdateFlops {
  double observation = 0;  // of a batch
  double dynamics = 0;     // of a batch, without the encoder
  double encoder = 0;      // forward alone, of a batch
  double imagination = 0;  // roll-outs, and actor and critic on them
  double train_step() const { return observation + dynamics + imagination; }
};
UpdateFlops FlopsOf(const run::TwmRecipe& recipe, int64_t actions);

// The run's updates in all, and what they cost.
int64_t UpdatesOf(const run::TwmRecipe& recipe, int64_t train_steps);
double RunFlops(const run::TwmRecipe& recipe, int64_t actions, int64_t train_steps);

}  // namespace allometry::models::twm
