// The dynamics of TWM: what the next latent, the reward and the discount will be, from latents,
// actions and rewards (equations 3 to 6). `tensors` are those of DynamicsLayout.
//
//   h_t = f(z_{<=t}, a_{<=t}, r_{<t})    the output at the token of a_t
//
// Each step is the tokens z, a and, where rewards are an input, r.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>

#include "models/twm/settings.h"
#include "models/twm/transformer_xl.h"

namespace allometry::models::twm {

struct Prediction {
  at::Tensor latent_logits;   // [.., g, k]
  at::Tensor reward;          // [..]: the mean of a Normal(., 1)
  at::Tensor discount_logit;  // [..]
};

// T steps of each row: latents [rows, T, g k], actions [rows, T] int64, rewards [rows, T] (as they
// are fed back), episodes [rows, T] int64, a number that rises where a new one begins. Predictions
// [rows, T, ..].
Prediction PredictSequences(const run::TwmRecipe& recipe, std::span<const at::Tensor> tensors,
                            const at::Tensor& latents, const at::Tensor& actions,
                            const at::Tensor& rewards, const at::Tensor& episodes,
                            std::optional<at::Generator> dropout);

// A roll-out, step by step, without a gradient. It remembers the recipe's `memory` newest steps.
class RollOutDynamics {
 public:
  RollOutDynamics(const run::TwmRecipe& recipe, std::span<const at::Tensor> tensors)
      : recipe_(recipe), tensors_(tensors) {}

  // Latents [rows, g k] and actions [rows] of a step in the episodes [rows]. Where it is not the
  // first, `reward` [rows] is that of the step before, of the episodes given there.
  Prediction Step(const at::Tensor& latents, const at::Tensor& actions, const at::Tensor& reward,
                  const at::Tensor& episodes);

 private:
  const run::TwmRecipe& recipe_;
  const std::span<const at::Tensor> tensors_;
  Memory memory_;
  at::Tensor episodes_before_;
};

}  // namespace allometry::models::twm
