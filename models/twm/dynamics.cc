#include "models/twm/dynamics.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>

#include <utility>

#include "base/check.h"
#include "models/twm/layout.h"

namespace allometry::models::twm {
namespace {

// The dynamics' tensors by what they do.
struct Parts {
  std::span<const at::Tensor> latent, reward, layers, heads;
  at::Tensor actions;

  Parts(const run::TwmRecipe& recipe, std::span<const at::Tensor> tensors) {
    Cursor cursor(tensors);
    latent = cursor.Take(2);
    actions = cursor.Next();
    if (recipe.reward_input) reward = cursor.Take(2);
    layers = cursor.Take(static_cast<size_t>(recipe.layers) * kLayerTensors);
    heads = cursor.Take(6 * (static_cast<size_t>(recipe.head_layers) + 1));
  }
  at::Tensor LatentToken(const at::Tensor& latents) const {
    return at::linear(latents, latent[0], latent[1]);
  }
  at::Tensor ActionToken(const at::Tensor& taken) const { return at::embedding(actions, taken); }
  at::Tensor RewardToken(const at::Tensor& rewards) const {
    return at::linear(rewards.unsqueeze(-1), reward[0], reward[1]);
  }
};

TransformerXlOptions OptionsOf(const run::TwmRecipe& recipe) {
  return {.layers = recipe.layers, .heads = recipe.heads, .dropout = recipe.dropout};
}

// h [.., width]
Prediction Heads(const run::TwmRecipe& recipe, std::span<const at::Tensor> tensors,
                 const at::Tensor& h) {
  Cursor cursor(tensors);
  Prediction prediction;
  std::vector<int64_t> shape = h.sizes().vec();
  shape.back() = recipe.groups;
  shape.push_back(recipe.classes);
  prediction.latent_logits = RunLayers(cursor, recipe.head_layers, h).view(shape);
  prediction.reward = RunLayers(cursor, recipe.head_layers, h).squeeze(-1);
  prediction.discount_logit = RunLayers(cursor, recipe.head_layers, h).squeeze(-1);
  return prediction;
}

}  // namespace

Prediction PredictSequences(const run::TwmRecipe& recipe, std::span<const at::Tensor> tensors,
                            const at::Tensor& latents, const at::Tensor& actions,
                            const at::Tensor& rewards, const at::Tensor& episodes,
                            std::optional<at::Generator> dropout) {
  const Parts parts(recipe, tensors);
  const int64_t rows = latents.size(0), steps = latents.size(1), tokens = TokensPerStep(recipe);
  std::vector<at::Tensor> step = {parts.LatentToken(latents), parts.ActionToken(actions)};
  if (recipe.reward_input) step.push_back(parts.RewardToken(rewards));
  TransformerXlOptions options = OptionsOf(recipe);
  options.generator = std::move(dropout);
  const at::Tensor out = RunTransformerXl(
      options, parts.layers, at::stack(step, 2).view({rows, steps * tokens, recipe.width}),
      episodes.repeat_interleave(tokens, 1), /*memory=*/nullptr, /*keep=*/0);
  return Heads(recipe, parts.heads, out.view({rows, steps, tokens, recipe.width}).select(2, 1));
}

Prediction RollOutDynamics::Step(const at::Tensor& latents, const at::Tensor& actions,
                                 const at::Tensor& reward, const at::Tensor& episodes) {
  const at::NoGradGuard no_grad;
  const Parts parts(recipe_, tensors_);
  std::vector<at::Tensor> tokens, numbers;
  if (recipe_.reward_input && episodes_before_.defined()) {
    tokens.push_back(parts.RewardToken(reward));
    numbers.push_back(episodes_before_);
  }
  tokens.push_back(parts.LatentToken(latents));
  tokens.push_back(parts.ActionToken(actions));
  numbers.insert(numbers.end(), {episodes, episodes});
  const at::Tensor out =
      RunTransformerXl(OptionsOf(recipe_), parts.layers, at::stack(tokens, 1),
                       at::stack(numbers, 1), &memory_, recipe_.memory * TokensPerStep(recipe_));
  episodes_before_ = episodes;
  return Heads(recipe_, parts.heads, out.select(1, out.size(1) - 1));
}

}  // namespace allometry::models::twm
