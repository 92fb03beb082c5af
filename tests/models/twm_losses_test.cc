// Equations 7 to 11 of TWM against values worked out by hand, and gradients against finite
// differences. All in float64.
#include "models/twm_losses.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <random>

namespace allometry::models {
namespace {

using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Pointwise;

constexpr double kExact = 1e-6;

at::Tensor Of(const std::vector<double>& values, std::vector<int64_t> shape) {
  return at::tensor(at::ArrayRef<double>(values), at::kDouble).reshape(shape);
}

// Logits of two classes with chances q and 1 - q.
std::vector<double> Coin(double q) { return {std::log(q), std::log(1 - q)}; }
double Entropy(double q) { return -q * std::log(q) - (1 - q) * std::log(1 - q); }

std::vector<double> Random(size_t n, unsigned seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(n);
  for (double& value : values) value = normal(bits);
  return values;
}

// The gradient of `loss` by its argument against central differences.
void ExpectGradient(const std::function<at::Tensor(const at::Tensor&)>& loss,
                    const std::vector<double>& at_values, const std::vector<int64_t>& shape) {
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
}

TEST(TwmLossesTest, ObservationLossIsEquation7ByHand) {
  // One step, one categorical of two classes: p = (.8, .2), q = (.5, .5), ln p(o | z) = -3.
  const at::Tensor log_likelihood = Of({-3}, {1}), p = Of(Coin(0.8), {1, 1, 2}),
                   q = Of(Coin(0.5), {1, 1, 2});
  const double slides = TwmObservationLoss(log_likelihood, p, q,
                                           {.entropy = 5, .entropy_hinge = 0, .consistency = 0.01})
                            .item<double>();
  EXPECT_NEAR(slides, 3 - 5 * 0.5004024235381879 + 0.01 * std::numbers::ln2, kExact);
  // Its entropy is 72 % of ln 2: above a hinge of .1, and .08 below one of .8.
  const double left_alone = TwmObservationLoss(log_likelihood, p, q, {}).item<double>();
  EXPECT_NEAR(left_alone, 3 + 0.01 * std::numbers::ln2, kExact);
  const double below =
      TwmObservationLoss(log_likelihood, p, q, {.entropy_hinge = 0.8}).item<double>();
  EXPECT_NEAR(below - left_alone, 5 * (0.8 - 0.7219280948873623), kExact);
}

TEST(TwmLossesTest, ObservationLossSumsOverCategoricalsAndIsAMeanOverSteps) {
  std::vector<double> p, q;
  double expected = 0;
  const std::vector<double> log_likelihood = {-1, -2.5};
  for (const double share : {0.6, 0.7, 0.8, 0.9}) {  // two steps of two categoricals
    for (const double logit : Coin(share)) p.push_back(logit);
    for (const double logit : Coin(0.25)) q.push_back(logit);
    expected += 0.02 * -(share * std::log(0.25) + (1 - share) * std::log(0.75)) / 2;
    expected -= 3 * Entropy(share) / 2;
  }
  expected += (1 + 2.5) / 2;
  EXPECT_NEAR(TwmObservationLoss(Of(log_likelihood, {2}), Of(p, {2, 2, 2}), Of(q, {2, 2, 2}),
                                 {.entropy = 3, .entropy_hinge = 0, .consistency = 0.02})
                  .item<double>(),
              expected, kExact);
}

TEST(TwmLossesTest, DynamicsLossIsEquation8ByHand) {
  // p' = (.8, .2) and q = (.5, .5); reward 1 predicted as .5; discount .99 predicted as .5.
  const TwmStep step = {Of(Coin(0.8), {1, 1, 2}), Of(Coin(0.5), {1, 1, 2}), Of({1}, {1}),
                        Of({0.5}, {1}),           Of({0.99}, {1}),          Of({0}, {1})};
  const double reward = 0.125 + 0.9189385332046727;  // (1 - .5)^2 / 2 + ln(2 pi) / 2
  EXPECT_NEAR(TwmDynamicsLoss(step, {}).item<double>(),
              std::numbers::ln2 + 10 * reward + 50 * std::numbers::ln2, kExact);
  EXPECT_NEAR(TwmDynamicsLoss(step, {.reward = 0, .discount = 0}).item<double>(), std::numbers::ln2,
              kExact);
}

TEST(TwmLossesTest, GradientsAreThoseOfFiniteDifferences) {
  const std::vector<int64_t> latents = {2, 3, 4};
  const std::vector<double> encoded = Random(24, 1), predicted = Random(24, 2);
  const at::Tensor log_likelihood = Of({-1, -2}, {2});
  for (const double hinge : {0.0, 0.95}) {
    const TwmObservationOptions options{.entropy_hinge = hinge, .consistency = 0.3};
    ExpectGradient(
        [&](const at::Tensor& p) {
          return TwmObservationLoss(log_likelihood, p, Of(predicted, latents), options);
        },
        encoded, latents);
  }
  const TwmStep fixed = {Of(encoded, latents), Of(predicted, latents), Of({1, 0}, {2}),
                         Of({.3, .2}, {2}),    Of({.99, 0}, {2}),      Of({1, -1}, {2})};
  const auto with = [&](at::Tensor TwmStep::*member) {
    return [&fixed, member](const at::Tensor& value) {
      TwmStep step = fixed;
      step.*member = value;
      return TwmDynamicsLoss(step, {});
    };
  };
  ExpectGradient(with(&TwmStep::predicted_logits), predicted, latents);
  ExpectGradient(with(&TwmStep::predicted_reward), {.3, .2}, {2});
  ExpectGradient(with(&TwmStep::discount_logit), {1, -1}, {2});
  ExpectGradient([](const at::Tensor& logits) { return TwmPolicyEntropyLoss(logits, 0.98); },
                 Random(10, 3), {2, 5});
}

TEST(TwmLossesTest, TargetsAndPredictionsOfTheOtherModelGetNoGradient) {
  const at::Tensor encoded = Of(Random(8, 1), {1, 2, 4}).set_requires_grad(true);
  const at::Tensor predicted = Of(Random(8, 2), {1, 2, 4}).set_requires_grad(true);
  TwmObservationLoss(Of({-1}, {1}), encoded, predicted, {}).backward();
  EXPECT_TRUE(encoded.grad().defined());
  EXPECT_FALSE(predicted.grad().defined());
  const at::Tensor target = Of(Random(8, 3), {1, 2, 4}).set_requires_grad(true);
  TwmDynamicsLoss({target, predicted, Of({1}, {1}), Of({0}, {1}), Of({1}, {1}), Of({0}, {1})}, {})
      .backward();
  EXPECT_FALSE(target.grad().defined());
  EXPECT_TRUE(predicted.grad().defined());
}

TEST(TwmLossesTest, AdvantagesAtLambdaOneAreEquation9) {
  const std::vector<double> rewards = {1, -0.5, 2, 0.25}, discounts = {0.99, 0.9, 0, 0.99},
                            values = {0.3, 1.1, -0.4, 0.7, 2.0};
  std::vector<double> expected;
  for (size_t t = 0; t < rewards.size(); ++t) {
    double sum = -values[t], weight = 1;
    for (size_t k = t; k < rewards.size(); ++k) {
      sum += weight * rewards[k];
      weight *= discounts[k];
    }
    expected.push_back(sum + weight * values.back());  // what is left is bootstrapped
  }
  EXPECT_THAT(TwmAdvantages(rewards, discounts, values, 1), Pointwise(DoubleNear(1e-12), expected));
  // lambda = 0: one step's error. By hand: 1 + .99 x 1.1 - .3, ..., .25 + .99 x 2 - .7.
  EXPECT_THAT(TwmAdvantages(rewards, discounts, values, 0),
              Pointwise(DoubleNear(1e-12), {1.789, -1.96, 2.4, 1.53}));
}

TEST(TwmLossesTest, EntropyOfThePolicyCostsOnlyBelowItsShare) {
  const std::vector<int64_t> shape = {1, 2};
  const double share = 0.7219280948873623;  // H(.8) / ln 2
  const at::Tensor logits = Of(Coin(0.8), shape);
  EXPECT_EQ(TwmPolicyEntropyLoss(logits, share - kExact).item<double>(), 0);
  EXPECT_GT(TwmPolicyEntropyLoss(logits, share + kExact).item<double>(), 0);
  EXPECT_NEAR(TwmPolicyEntropyLoss(logits, 0.9).item<double>(), 0.9 - share, kExact);
}

TEST(TwmLossesTest, SamplingPrefersWhatWasSeenLeastAndIsUniformAtInfiniteTemperature) {
  const std::vector<double> visits = {0, 20, 40};
  const double e = std::numbers::e, sum = 1 + 1 / e + 1 / (e * e);
  EXPECT_THAT(TwmSampling(visits, 20),
              Pointwise(DoubleNear(1e-12), {1 / sum, 1 / e / sum, 1 / (e * e) / sum}));
  EXPECT_THAT(TwmSampling(visits, std::numeric_limits<double>::infinity()),
              Each(DoubleNear(1.0 / 3, 1e-12)));
  // Counts of millions do not underflow.
  EXPECT_THAT(TwmSampling(std::vector<double>{5e6, 5e6}, 20), ElementsAre(0.5, 0.5));
}

}  // namespace
}  // namespace allometry::models
