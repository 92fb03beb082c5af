// Actor and critic of TWM, trained on what the world model imagines.
//
// A roll-out goes on from a latent z_0 for `horizon` steps: an action from pi(z_t), a reward and a
// discount d_t of the dynamics, the next latent drawn from them. A row whose product of discounts
// falls below 0.1 begins again at a latent of the replay: d_t is 0 there, and attention does not
// look back. With w_t the product of the discounts before (1 after a new beginning) and advantages
// by equation 9 with lambda,
//
//   actor    -mean w ln pi(a | z) A + eta mean max(0, Gamma - H(pi) / ln m)     (equation 10)
//   critic   mean w (V(z) - R)^2 / 2,   R = A + V
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "models/twm/settings.h"
#include "models/twm/world_model.h"

namespace allometry::models::twm {

inline constexpr double kLeastReach = 0.1;

// Steps of real play to begin from: the pairs of a step and the next one of the same episode.
struct Starts {
  at::Tensor before;   // [n, g k], the latent of the first
  at::Tensor actions;  // [n], int64, taken there
  at::Tensor rewards;  // [n], as fed back
  at::Tensor latents;  // [n, g k], of the second
};

// From the sequences of a world-model step; `latents` [rows, S + 1, g, k]. A batch in which every
// step is a stop gives none (n = 0).
Starts StartsOf(const Sequences& batch, const at::Tensor& latents);

// H steps of B rows, t-major, n = H B. No gradients.
struct Imagined {
  at::Tensor latents;                       // [(H + 1) B, g k]
  at::Tensor actions;                       // [n], int64
  at::Tensor advantages, returns, weights;  // [n]
  double reward = 0;                        // mean a step
};

// Row i begins with a start that is drawn by (seed, i); B = recipe.starts, without replacement
// while there are enough. Starts must not be empty.
Imagined Imagine(const run::TwmRecipe& recipe, std::span<const at::Tensor> dynamics,
                 std::span<const at::Tensor> actor, std::span<const at::Tensor> critic,
                 const Starts& starts, uint64_t seed);

struct AgentLosses {
  at::Tensor actor, critic;
  double entropy = 0;  // mean of the policy's, nats
};
AgentLosses AgentLoss(const run::TwmRecipe& recipe, std::span<const at::Tensor> actor,
                      std::span<const at::Tensor> critic, const Imagined& imagined);

// [n, actions] and [n] for latents [n, g k].
at::Tensor PolicyLogits(const run::TwmRecipe& recipe, std::span<const at::Tensor> actor,
                        const at::Tensor& latents);
at::Tensor Values(const run::TwmRecipe& recipe, std::span<const at::Tensor> critic,
                  const at::Tensor& latents);

// An action for each row of `logits` [n, actions], drawn by Uniform(seed, first_row + row, time).
at::Tensor SampleActions(const at::Tensor& logits, uint64_t seed, int64_t first_row, int64_t time);

}  // namespace allometry::models::twm
