// Band 32: lambda-returns and losses by hand, gradients by finite differences, and a chain of two
// states whose best policy is known.
#include "models/actor_critic.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "models/adamw.h"

namespace allometry::models {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

at::Tensor Of(const std::vector<double>& values, std::vector<int64_t> shape) {
  return at::tensor(at::ArrayRef<double>(values), at::kDouble).reshape(shape);
}

std::vector<double> Random(size_t n, unsigned seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(n);
  for (double& value : values) value = normal(bits);
  return values;
}

// Two rows of three steps; row 1 ends with its second step.
const std::vector<double> kRewards = {1, 0.5, -1, 2, 0.25, 8};
const std::vector<uint8_t> kEnds = {0, 0, 0, 1, 0, 0};
const std::vector<double> kValues = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8};

TEST(LambdaReturnsTest, WithLambdaOneTheyAreTheDiscountedSumAndTheLastValue) {
  const double g = 0.9;
  const auto returns = LambdaReturns(kRewards, kEnds, kValues, 2, g, 1);
  const double last_0 = 0.25 + g * 0.7, last_1 = 8 + g * 0.8;
  EXPECT_THAT(returns, Pointwise(DoubleNear(1e-12), {1 + g * (-1 + g * last_0), 0.5 + g * 2,
                                                     -1 + g * last_0, 2.0, last_0, last_1}));
}

TEST(LambdaReturnsTest, WithLambdaZeroTheyAreOneStepTargets) {
  const double g = 0.9;
  const auto returns = LambdaReturns(kRewards, kEnds, kValues, 2, g, 0);
  EXPECT_THAT(returns, Pointwise(DoubleNear(1e-12), {1 + g * 0.3, 0.5 + g * 0.4, -1 + g * 0.5, 2.0,
                                                     0.25 + g * 0.7, 8 + g * 0.8}));
}

TEST(LambdaReturnsTest, BetweenTheyFollowTheRecursion) {
  const double g = 0.95, l = 0.8;
  const auto returns = LambdaReturns(kRewards, kEnds, kValues, 2, g, l);
  EXPECT_NEAR(returns[4], 0.25 + g * 0.7, 1e-12);
  EXPECT_NEAR(returns[2], -1 + g * ((1 - l) * 0.5 + l * returns[4]), 1e-12);
  EXPECT_NEAR(returns[0], 1 + g * ((1 - l) * 0.3 + l * returns[2]), 1e-12);
  EXPECT_NEAR(returns[3], 2, 1e-12);
}

TEST(LambdaReturnsTest, WhatFollowsAnEndHasNoWeight) {
  EXPECT_THAT(ReachWeights(kEnds, 2), ElementsAre(1, 1, 1, 1, 1, 0));
  EXPECT_THAT(ReachWeights(std::vector<uint8_t>{1, 0, 0}, 1), ElementsAre(1, 0, 0));
}

TEST(LambdaReturnsTest, TheRangeOfQuantilesIsInterpolated) {
  std::vector<double> values;
  for (int i = 0; i <= 100; ++i) values.push_back(100 - i);
  EXPECT_NEAR(QuantileRange(values), 90, 1e-12);
  EXPECT_NEAR(QuantileRange({3, 1}), 1.8, 1e-12);
  EXPECT_EQ(QuantileRange({7}), 0);
}

RollOut Fixed(int64_t n) {
  RollOut r;
  std::vector<int64_t> actions;
  for (int64_t i = 0; i < n; ++i) actions.push_back(i % 3);
  r.actions = at::tensor(at::ArrayRef<int64_t>(actions), at::kLong);
  r.old_log_probs = Of(Random(static_cast<size_t>(n), 1), {n}) * 0.3 - 1.1;
  r.advantages = Of(Random(static_cast<size_t>(n), 2), {n});
  r.returns = Of(Random(static_cast<size_t>(n), 3), {n});
  std::vector<double> weights(static_cast<size_t>(n), 1.0);
  weights.back() = 0;
  r.weights = Of(weights, {n});
  return r;
}

TEST(ActorCriticLossTest, IsItsEquationByHand) {
  constexpr int64_t kN = 6;
  RollOut r = Fixed(kN);
  const std::vector<double> logits = Random(3 * kN, 4), values = Random(kN, 5);
  r.logits = Of(logits, {kN, 3});
  r.values = Of(values, {kN});
  const ActorCriticLosses losses = ActorCriticLoss(r, {.entropy = 0.07, .clip = 0.2});
  double surrogate = 0, entropy = 0, value = 0;
  for (int64_t i = 0; i < kN; ++i) {
    double sum = 0;
    for (int a = 0; a < 3; ++a) sum += std::exp(logits[3 * i + a]);
    double h = 0;
    for (int a = 0; a < 3; ++a) {
      const double p = std::exp(logits[3 * i + a]) / sum;
      h -= p * std::log(p);
    }
    const double w = r.weights[i].item<double>(), advantage = r.advantages[i].item<double>();
    const double rho =
        std::exp(logits[3 * i + i % 3]) / sum / std::exp(r.old_log_probs[i].item<double>());
    surrogate += w * std::min(rho * advantage, std::min(std::max(rho, 0.8), 1.2) * advantage) / kN;
    entropy += w * h / kN;
    value += w * std::pow(values[i] - r.returns[i].item<double>(), 2) / 2 / kN;
  }
  EXPECT_NEAR(losses.total.item<double>(), -surrogate - 0.07 * entropy + value, 1e-6);
  EXPECT_NEAR(losses.entropy.item<double>(), entropy / (5.0 / 6), 1e-6);
  EXPECT_NEAR(losses.value.item<double>(), value, 1e-6);
}

TEST(ActorCriticLossTest, GradientsAgreeWithFiniteDifferences) {
  constexpr int64_t kN = 6;
  using Put = std::function<void(RollOut&, const at::Tensor&)>;
  const auto expect_gradient = [&](const std::vector<double>& at_values,
                                   const std::vector<int64_t>& shape, const Put& put) {
    const auto loss = [&](const at::Tensor& leaf) {
      RollOut r = Fixed(kN);
      r.logits = Of(Random(3 * kN, 4), {kN, 3});
      r.values = Of(Random(kN, 5), {kN});
      put(r, leaf);
      return ActorCriticLoss(r, {}).total;
    };
    const at::Tensor leaf = Of(at_values, shape).set_requires_grad(true);
    loss(leaf).backward();
    const at::Tensor gradient = leaf.grad().reshape({-1});
    constexpr double kStep = 1e-5;
    for (size_t i = 0; i < at_values.size(); ++i) {
      std::vector<double> up = at_values, down = at_values;
      up[i] += kStep;
      down[i] -= kStep;
      const double difference =
          (loss(Of(up, shape)).item<double>() - loss(Of(down, shape)).item<double>()) / (2 * kStep);
      EXPECT_NEAR(gradient[static_cast<int64_t>(i)].item<double>(), difference, 1e-7) << i;
    }
  };
  expect_gradient(Random(3 * kN, 4), {kN, 3},
                  [](RollOut& r, const at::Tensor& leaf) { r.logits = leaf; });
  expect_gradient(Random(kN, 5), {kN}, [](RollOut& r, const at::Tensor& leaf) { r.values = leaf; });
}

// Parameters with their optimizer.
struct Agent {
  explicit Agent(const ActorCriticShape& shape, int64_t seed)
      : layout(ActorCriticLayout(shape)),
        parameters(layout.size),
        gradient(layout.size),
        first(layout.size),
        second(layout.size),
        networks(shape, parameters, gradient),
        adamw(CreateAdamW(layout, {.weight_decay = 0, .epsilon = 1e-5, .clip_norm = 1}, {})) {
    InitializeActorCritic(layout, seed, parameters);
  }
  void Update(double rate) {
    double norm = 0;
    adamw->Step({parameters, gradient, first, second}, ++step, rate, &norm);
  }

  ParameterLayout layout;
  std::vector<float> parameters, gradient, first, second;
  ActorCritic networks;
  std::unique_ptr<AdamW> adamw;
  int64_t step = 0;
};

TEST(ActorCriticTest, BeginsUniformAndWithoutValue) {
  Agent agent({.features = 5, .actions = 3, .width = 16}, 1);
  EXPECT_EQ(agent.layout.size, 2 * (5 * 16 + 16 + 2 * 16 + 16 * 16 + 16 + 2 * 16) + 3 * 17 + 17);
  const at::Tensor x = Of(Random(10, 1), {2, 5}).to(at::kFloat);
  EXPECT_EQ(agent.networks.Logits(x).abs().sum().item<float>(), 0);
  EXPECT_EQ(agent.networks.Values(x).abs().sum().item<float>(), 0);
}

// The gradient of the networks, in float, along itself.
TEST(ActorCriticTest, TheNetworksGradientIsTheSlopeOfTheirLoss) {
  const ActorCriticShape shape = {.features = 4, .actions = 3, .width = 8};
  Agent agent(shape, 3);
  std::mt19937 bits(5);
  std::normal_distribution<float> noise(0, 0.3f);
  for (float& value : agent.parameters) value += noise(bits);
  constexpr int64_t kN = 6;
  const at::Tensor x = Of(Random(4 * kN, 8), {kN, 4}).to(at::kFloat);
  RollOut r = Fixed(kN);
  for (at::Tensor* tensor : {&r.old_log_probs, &r.advantages, &r.returns, &r.weights}) {
    *tensor = tensor->to(at::kFloat);
  }
  const auto loss = [&] { return agent.networks.Gradient(x, r, {}).total.item<double>(); };
  loss();
  const std::vector<float> gradient = agent.gradient, before = agent.parameters;
  double norm = 0;
  for (const float g : gradient) norm += static_cast<double>(g) * g;
  norm = std::sqrt(norm);
  ASSERT_GT(norm, 0.1);
  const auto at_distance = [&](double h) {
    for (size_t i = 0; i < before.size(); ++i) {
      agent.parameters[i] = before[i] + static_cast<float>(h * gradient[i] / norm);
    }
    return loss();
  };
  EXPECT_NEAR((at_distance(2e-3) - at_distance(-2e-3)) / 4e-3, norm, 0.01 * norm);
}

// States 0 and 1, actions stay and go. Staying in 0 gives 0.2, in 1 it gives 1, going gives
// nothing: the best policy goes from 0 and stays in 1. One that looks one step ahead stays in 0.
TEST(ActorCriticTest, FindsTheBestPolicyOfAChainIn200Updates) {
  constexpr int kRows = 64, kSteps = 5;
  Agent agent({.features = 2, .actions = 2, .width = 16}, 2);
  std::mt19937 bits(7);
  std::uniform_real_distribution<double> uniform;
  const auto show = [](const std::vector<int>& states) {
    at::Tensor x = at::tensor(at::ArrayRef<int>(states), at::kLong);
    return at::tensor(at::ArrayRef<float>(std::vector<float>{1, 0, 0, 1}))
        .reshape({2, 2})
        .index_select(0, x);
  };
  for (int update = 0; update < 200; ++update) {
    std::vector<int> states(kRows), seen, actions;
    for (int& state : states) state = uniform(bits) < 0.5;
    std::vector<double> rewards, log_probs;
    for (int t = 0; t < kSteps; ++t) {
      const at::Tensor law = agent.networks.Logits(show(states)).log_softmax(1);
      seen.insert(seen.end(), states.begin(), states.end());
      for (int row = 0; row < kRows; ++row) {
        const double go = law[row][1].item<double>();
        const int action = uniform(bits) < std::exp(go);
        actions.push_back(action);
        log_probs.push_back(law[row][action].item<double>());
        rewards.push_back(action == 1 ? 0 : states[row] == 0 ? 0.2 : 1.0);
        if (action == 1) states[row] = 1 - states[row];
      }
    }
    std::vector<int> all = seen;
    all.insert(all.end(), states.begin(), states.end());
    const at::Tensor values = agent.networks.Values(show(all)).to(at::kDouble).contiguous();
    const std::span<const double> value(values.const_data_ptr<double>(), all.size());
    const std::vector<uint8_t> ends(rewards.size(), 0);
    const auto returns = LambdaReturns(rewards, ends, value, kRows, 0.9, 0.95);
    const double scale = std::max(0.1, QuantileRange(returns));
    std::vector<double> advantages;
    for (size_t i = 0; i < returns.size(); ++i) {
      advantages.push_back((returns[i] - value[i]) / scale);
    }
    const auto n = static_cast<int64_t>(returns.size());
    RollOut r;
    r.actions = at::tensor(at::ArrayRef<int>(actions), at::kLong);
    r.old_log_probs = Of(log_probs, {n}).to(at::kFloat);
    r.advantages = Of(advantages, {n}).to(at::kFloat);
    r.returns = Of(returns, {n}).to(at::kFloat);
    r.weights = at::ones_like(r.returns);
    for (int pass = 0; pass < 2; ++pass) {
      agent.networks.Gradient(show(seen), r, {.entropy = 0.01});
      agent.Update(3e-3);
    }
  }
  const at::Tensor law = agent.networks.Logits(show({0, 1})).softmax(1);
  EXPECT_GT(law[0][1].item<double>(), 0.9);
  EXPECT_GT(law[1][0].item<double>(), 0.9);
}

TEST(ActorCriticTest, ClonesWhatItIsShown) {
  Agent agent({.features = 2, .actions = 4, .width = 16}, 2);
  const at::Tensor x = Of({1, 0, 0, 1}, {2, 2}).to(at::kFloat);
  const at::Tensor actions = at::tensor(at::ArrayRef<int>(std::vector<int>{3, 1}), at::kLong);
  const double before = agent.networks.CloningGradient(x, actions);
  EXPECT_NEAR(before, std::log(4.0), 1e-6);
  for (int i = 0; i < 100; ++i) {
    agent.networks.CloningGradient(x, actions);
    agent.Update(1e-2);
  }
  EXPECT_LT(agent.networks.CloningGradient(x, actions), 0.05);
}

}  // namespace
}  // namespace allometry::models
