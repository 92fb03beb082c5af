#include "models/twm_losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/relu.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace allometry::models {
namespace {

// -sum p ln q over the last dimension, p and q by their logits.
at::Tensor CrossEntropy(const at::Tensor& p_logits, const at::Tensor& q_logits) {
  return -(p_logits.log_softmax(-1).exp() * q_logits.log_softmax(-1)).sum(-1);
}

}  // namespace

at::Tensor TwmObservationLoss(const at::Tensor& log_likelihood, const at::Tensor& encoded_logits,
                              const at::Tensor& predicted_logits,
                              const TwmObservationOptions& options, const at::Tensor& predicted) {
  const at::Tensor entropy = CrossEntropy(encoded_logits, encoded_logits).sum(-1);
  const double most = static_cast<double>(encoded_logits.size(-2)) *
                      std::log(static_cast<double>(encoded_logits.size(-1)));
  const at::Tensor certainty =
      options.entropy_hinge > 0 ? at::relu(options.entropy_hinge - entropy / most) : -entropy;
  at::Tensor consistency = CrossEntropy(encoded_logits, predicted_logits.detach()).sum(-1);
  if (predicted.defined()) consistency = consistency * predicted;
  return (-log_likelihood + options.entropy * certainty + options.consistency * consistency).mean();
}

TwmDynamicsTerms TwmDynamicsTermsOf(const TwmStep& step) {
  at::Tensor latent = CrossEntropy(step.next_logits.detach(), step.predicted_logits).sum(-1);
  if (step.continues.defined()) latent = latent * step.continues;
  const at::Tensor error = step.reward - step.predicted_reward;
  const at::Tensor reward = 0.5 * error * error + 0.5 * std::log(2 * std::numbers::pi);
  return {latent.mean(), reward.mean(),
          at::binary_cross_entropy_with_logits(step.discount_logit, step.discount)};
}

at::Tensor TwmDynamicsLoss(const TwmStep& step, const TwmDynamicsOptions& options) {
  const TwmDynamicsTerms terms = TwmDynamicsTermsOf(step);
  return terms.latent + options.reward * terms.reward + options.discount * terms.discount;
}

std::vector<double> TwmAdvantages(std::span<const double> rewards,
                                  std::span<const double> discounts, std::span<const double> values,
                                  double lambda) {
  ALLO_CHECK(discounts.size() == rewards.size() && values.size() == rewards.size() + 1);
  std::vector<double> advantages(rewards.size());
  double next = 0;
  for (size_t t = rewards.size(); t-- > 0;) {
    const double delta = rewards[t] + discounts[t] * values[t + 1] - values[t];
    next = delta + discounts[t] * lambda * next;
    advantages[t] = next;
  }
  return advantages;
}

at::Tensor TwmPolicyEntropyLoss(const at::Tensor& logits, double least_share) {
  const double most = std::log(static_cast<double>(logits.size(-1)));
  return at::relu(least_share - CrossEntropy(logits, logits) / most).mean();
}

std::vector<double> TwmSampling(std::span<const double> visits, double temperature) {
  ALLO_CHECK(!visits.empty() && temperature > 0);
  const double least = *std::min_element(visits.begin(), visits.end());
  std::vector<double> chances;
  double sum = 0;
  for (const double count : visits) {
    chances.push_back(std::exp((least - count) / temperature));
    sum += chances.back();
  }
  for (double& chance : chances) chance /= sum;
  return chances;
}

}  // namespace allometry::models
