#include "models/twm/imagination.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/split_mix.h"
#include "models/decode.h"
#include "models/twm/dynamics.h"
#include "models/twm/layout.h"
#include "models/twm/observation.h"
#include "models/twm/world_model.h"
#include "models/twm_losses.h"

namespace allometry::models::twm {
namespace {

// Keys of what is drawn. Part of a run's numbers: do not change.
enum Draw : uint64_t {
  kStart = 0x73746172,
  kAction = 0x616374,
  kLatent = 0x6c6174,
  kAgain = 0x6e6577
};

template <class T>
at::Tensor Copied(const std::vector<T>& values) {
  return at::from_blob(const_cast<T*>(values.data()), {static_cast<int64_t>(values.size())},
                       at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value))
      .clone();
}

std::vector<double> Doubles(const at::Tensor& x) {
  const at::Tensor host = x.to(at::kDouble).contiguous();
  return {host.const_data_ptr<double>(), host.const_data_ptr<double>() + host.numel()};
}

// `rows` indices below n, in an order that `seed` draws; again from the first where n is less.
at::Tensor DrawStarts(int64_t rows, int64_t n, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto key = [&](int64_t i) { return SplitMix(seed ^ static_cast<uint64_t>(i)); };
  std::sort(order.begin(), order.end(),
            [&](int64_t a, int64_t b) { return std::pair(key(a), a) < std::pair(key(b), b); });
  std::vector<int64_t> drawn;
  for (int64_t row = 0; row < rows; ++row) drawn.push_back(order[static_cast<size_t>(row % n)]);
  return Copied(drawn);
}

}  // namespace

Starts StartsOf(const Sequences& batch, const at::Tensor& latents) {
  const int64_t steps = batch.actions.size(1), width = latents.size(2) * latents.size(3);
  const at::Tensor go_on = (batch.stop == 0).reshape({-1}).nonzero().squeeze(1);
  const auto chosen = [&](const at::Tensor& of) { return of.index_select(0, go_on); };
  return {chosen(latents.narrow(1, 0, steps).reshape({-1, width})),
          chosen(batch.actions.reshape({-1})), chosen(batch.rewards.reshape({-1})),
          chosen(latents.narrow(1, 1, steps).reshape({-1, width}))};
}

at::Tensor SampleActions(const at::Tensor& logits, uint64_t seed, int64_t first_row, int64_t time) {
  const at::Tensor rows = logits.detach().to(at::kFloat).contiguous();
  const auto count = static_cast<size_t>(rows.size(1));
  std::vector<int64_t> actions;
  for (int64_t row = 0; row < rows.size(0); ++row) {
    const std::span<const float> law(
        rows.const_data_ptr<float>() + static_cast<size_t>(row) * count, count);
    actions.push_back(SampleToken(
        law, Uniform(seed, static_cast<uint64_t>(first_row + row), static_cast<uint64_t>(time))));
  }
  return Copied(actions);
}

at::Tensor PolicyLogits(const run::TwmRecipe& recipe, std::span<const at::Tensor> actor,
                        const at::Tensor& latents) {
  Cursor cursor(actor);
  return RunLayers(cursor, recipe.agent_layers, latents);
}

at::Tensor Values(const run::TwmRecipe& recipe, std::span<const at::Tensor> critic,
                  const at::Tensor& latents) {
  Cursor cursor(critic);
  return RunLayers(cursor, recipe.agent_layers, latents).squeeze(1);
}

Imagined Imagine(const run::TwmRecipe& recipe, std::span<const at::Tensor> dynamics,
                 std::span<const at::Tensor> actor, std::span<const at::Tensor> critic,
                 const Starts& starts, uint64_t seed) {
  const at::NoGradGuard no_grad;
  const int64_t rows = recipe.starts, horizon = recipe.horizon, n = starts.latents.size(0);
  const auto b = static_cast<size_t>(rows);
  ALLO_CHECK(n > 0) << "no starts";
  const auto key = [&](Draw draw) { return SplitMix(seed ^ draw); };
  const at::Tensor first = DrawStarts(rows, n, key(kStart));
  RollOutDynamics world(recipe, dynamics);
  at::Tensor episodes = at::zeros({rows}, at::TensorOptions().dtype(at::kLong));
  world.Step(starts.before.index_select(0, first), starts.actions.index_select(0, first), {},
             episodes);
  at::Tensor reward = starts.rewards.index_select(0, first);
  at::Tensor latents = starts.latents.index_select(0, first);

  std::vector<at::Tensor> seen = {latents}, actions;
  std::vector<double> rewards, discounts, weights, reach(b, 1.0);
  for (int64_t t = 0; t < horizon; ++t) {
    const at::Tensor action =
        SampleActions(PolicyLogits(recipe, actor, latents), key(kAction), 0, t);
    const Prediction next = world.Step(latents, action, reward, episodes);
    reward = next.reward;
    latents = SampleLatent(next.latent_logits, key(kLatent) + static_cast<uint64_t>(t), 0)
                  .reshape({rows, -1});
    const std::vector<double> told = Doubles(next.reward);
    std::vector<double> discount = Doubles(at::sigmoid(next.discount_logit));
    std::vector<int64_t> again(b, 0), place(b, 0);
    bool any = false;
    for (size_t row = 0; row < b; ++row) {
      weights.push_back(reach[row]);
      reach[row] *= discount[row];
      if (reach[row] >= kLeastReach) continue;
      any = true;
      discount[row] = 0;
      reach[row] = 1;
      again[row] = 1;
      const double u = Uniform(key(kAgain), row, static_cast<uint64_t>(t));
      place[row] = std::min(n - 1, static_cast<int64_t>(u * static_cast<double>(n)));
    }
    rewards.insert(rewards.end(), told.begin(), told.end());
    discounts.insert(discounts.end(), discount.begin(), discount.end());
    if (any) {
      const at::Tensor begins = Copied(again);
      episodes = episodes + begins;
      latents = at::where(begins.to(at::kBool).unsqueeze(1),
                          starts.latents.index_select(0, Copied(place)), latents);
    }
    actions.push_back(action);
    seen.push_back(latents);
  }

  Imagined imagined;
  imagined.latents = at::cat(seen);
  imagined.actions = at::cat(actions);
  const std::vector<double> values = Doubles(Values(recipe, critic, imagined.latents));
  std::vector<double> advantages(rewards.size()), returns(rewards.size());
  const auto h = static_cast<size_t>(horizon);
  std::vector<double> r(h), d(h), v(h + 1);
  for (size_t row = 0; row < b; ++row) {
    for (size_t t = 0; t < h; ++t) {
      r[t] = rewards[t * b + row];
      d[t] = discounts[t * b + row];
      v[t] = values[t * b + row];
    }
    v[h] = values[h * b + row];
    const std::vector<double> of_row = TwmAdvantages(r, d, v, recipe.lambda);
    for (size_t t = 0; t < h; ++t) {
      advantages[t * b + row] = of_row[t];
      returns[t * b + row] = of_row[t] + v[t];
    }
  }
  const at::ScalarType type = starts.latents.scalar_type();
  imagined.advantages = Copied(advantages).to(type);
  imagined.returns = Copied(returns).to(type);
  imagined.weights = Copied(weights).to(type);
  imagined.reward =
      std::accumulate(rewards.begin(), rewards.end(), 0.0) / static_cast<double>(rewards.size());
  return imagined;
}

AgentLosses AgentLoss(const run::TwmRecipe& recipe, std::span<const at::Tensor> actor,
                      std::span<const at::Tensor> critic, const Imagined& imagined) {
  const at::Tensor latents = imagined.latents.narrow(0, 0, imagined.actions.size(0));
  const at::Tensor logits = PolicyLogits(recipe, actor, latents);
  const at::Tensor log_probs = logits.log_softmax(1);
  const at::Tensor chosen = log_probs.gather(1, imagined.actions.unsqueeze(1)).squeeze(1);
  AgentLosses losses;
  losses.actor = -(imagined.weights * chosen * imagined.advantages).mean() +
                 recipe.entropy * TwmPolicyEntropyLoss(logits, recipe.least_entropy);
  const at::Tensor error = Values(recipe, critic, latents) - imagined.returns;
  losses.critic = 0.5 * (imagined.weights * error * error).mean();
  losses.entropy = -(log_probs.exp() * log_probs).sum(1).mean().item<double>();
  return losses;
}

}  // namespace allometry::models::twm
