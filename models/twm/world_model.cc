#include "models/twm/world_model.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <numbers>

#include "models/twm/dynamics.h"
#include "models/twm/layout.h"
#include "models/twm/observation.h"
#include "models/twm_losses.h"

namespace allometry::models::twm {
namespace {

// [rows, S, ..] -> [rows S, ..]
at::Tensor Flat(const at::Tensor& x) { return x.reshape({-1, x.size(-2), x.size(-1)}); }

}  // namespace

WorldModelLosses WorldModelLoss(const run::TwmRecipe& recipe,
                                std::span<const at::Tensor> observation,
                                std::span<const at::Tensor> dynamics, const Sequences& batch,
                                Trained trained, uint64_t seed) {
  const int64_t rows = batch.frames.size(0), steps = batch.actions.size(1);
  const int64_t g = recipe.groups, k = recipe.classes;
  const at::Tensor frames = batch.frames.reshape({-1, kFrames, kSide, kSide});
  at::Tensor encoded;
  {
    const at::AutoGradMode gradient(trained != Trained::kDynamics);
    encoded = Encode(recipe, observation, frames);
  }
  const at::Tensor latents = SampleLatent(encoded, seed, 0);
  WorldModelLosses losses;
  losses.latents = latents.view({rows, steps + 1, g, k});
  const at::Tensor by_step = encoded.view({rows, steps + 1, g, k});
  // No prediction: a uniform law, whose term is left out.
  at::Tensor predicted_logits = at::zeros_like(encoded);
  at::Tensor predicted = at::zeros({rows * (steps + 1)}, encoded.options().requires_grad(false));

  if (trained != Trained::kObservation) {
    std::optional<at::Generator> dropout;
    if (recipe.dropout > 0) dropout = at::detail::createCPUGenerator(seed);
    const at::Tensor episodes = batch.stop.to(at::kLong).cumsum(1) - batch.stop.to(at::kLong);
    const Prediction prediction = PredictSequences(
        recipe, dynamics, losses.latents.narrow(1, 0, steps).reshape({rows, steps, g * k}),
        batch.actions, batch.rewards, episodes, dropout);
    const at::Tensor continues = 1 - batch.stop;
    const TwmStep step = {
        .next_logits = Flat(by_step.narrow(1, 1, steps).detach()),
        .predicted_logits = Flat(prediction.latent_logits),
        .reward = batch.rewards.reshape({-1}),
        .predicted_reward = prediction.reward.reshape({-1}),
        .discount = (recipe.discount * (1 - batch.terminal)).reshape({-1}),
        .discount_logit = prediction.discount_logit.reshape({-1}),
        .continues = continues.reshape({-1}),
    };
    const TwmDynamicsTerms terms = TwmDynamicsTermsOf(step);
    const TwmDynamicsOptions weights;
    losses.total = terms.latent + weights.reward * terms.reward + weights.discount * terms.discount;
    losses.latent = terms.latent.item<double>();
    losses.reward = terms.reward.item<double>();
    losses.discount = terms.discount.item<double>();
    predicted_logits =
        Flat(at::cat({at::zeros({rows, 1, g, k}, by_step.options().requires_grad(false)),
                      prediction.latent_logits.detach()},
                     1));
    predicted = at::cat({at::zeros({rows, 1}, continues.options()), continues}, 1).reshape({-1});
  }
  if (trained == Trained::kDynamics) return losses;

  const at::Tensor decoded = Decode(recipe, observation, StraightThrough(latents, encoded));
  const at::Tensor log_likelihood = PixelLogLikelihood(frames, decoded);
  const at::Tensor loss =
      TwmObservationLoss(log_likelihood, encoded, predicted_logits, {}, predicted);
  losses.observation = loss.item<double>();
  losses.reconstruction =
      -log_likelihood.mean().item<double>() - 0.5 * std::log(2 * std::numbers::pi);
  losses.total = losses.total.defined() ? losses.total + loss : loss;
  return losses;
}

}  // namespace allometry::models::twm
