// A training batch of the TWM world model and the losses on it: equations 7 and 8.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>

#include "models/twm/settings.h"

namespace allometry::models::twm {

// Sequences of S + 1 observations and the S steps from one to the next.
struct Sequences {
  at::Tensor frames;    // [rows, S + 1, 4, 64, 64] in [0, 1]
  at::Tensor actions;   // [rows, S], int64
  at::Tensor rewards;   // [rows, S], tanh of the environment's
  at::Tensor terminal;  // [rows, S], 1 where the episode ended there
  at::Tensor stop;      // [rows, S], 1 where the next observation is of another episode: it ended,
                        // a life was lost or it was cut off
};

struct WorldModelLosses {
  at::Tensor total;  // L_obs + L_dyn, of which no parameter is in both
  // Without a gradient.
  double observation = 0;     // L_obs
  double reconstruction = 0;  // mean over pixels of (o - o^)^2 / 2
  double latent = 0;          // H(sg p', q) a step, summed over the categoricals; 0 where stopped
  double reward = 0;          // -ln N(r; r^, 1)
  double discount = 0;        // cross-entropy
  at::Tensor latents;         // drawn, one-hot [rows, S + 1, g, k]
};

enum class Trained { kBoth, kObservation, kDynamics };

// What is drawn: latents by (seed, row, categorical), rows counted from 0 over rows and steps, and
// dropout's masks. With kObservation there is no dynamics, hence no consistency; with kDynamics the
// encoder is a constant.
WorldModelLosses WorldModelLoss(const run::TwmRecipe& recipe,
                                std::span<const at::Tensor> observation,
                                std::span<const at::Tensor> dynamics, const Sequences& batch,
                                Trained trained, uint64_t seed);

}  // namespace allometry::models::twm
