// The observation model of TWM: a variational autoencoder whose latent is g categoricals of k
// classes. `tensors` are those of ObservationLayout.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "models/twm/settings.h"

namespace allometry::models::twm {

// frames [n, 4, 64, 64] in [0, 1] -> logits of p(z | o), [n, g, k].
at::Tensor Encode(const run::TwmRecipe& recipe, std::span<const at::Tensor> tensors,
                  const at::Tensor& frames);
// latents [n, g, k] -> the mean of p(o | z), [n, 4, 64, 64].
at::Tensor Decode(const run::TwmRecipe& recipe, std::span<const at::Tensor> tensors,
                  const at::Tensor& latents);

// ln p(o | z) with a variance of 1, the mean over pixels: [n].
at::Tensor PixelLogLikelihood(const at::Tensor& frames, const at::Tensor& decoded);

// One class of each categorical, as one-hot [n, g, k] without a gradient. Counter-based: row r,
// categorical c are drawn with Uniform(seed, first_row + r, c).
at::Tensor SampleLatent(const at::Tensor& logits, uint64_t seed, int64_t first_row);
// The likeliest class of each, the first of several.
at::Tensor ModeLatent(const at::Tensor& logits);
// The same value with the gradient of the probabilities (Bengio et al. 2013).
at::Tensor StraightThrough(const at::Tensor& one_hot, const at::Tensor& logits);

}  // namespace allometry::models::twm
