// The losses of a transformer world model with latents (Robine et al., TWM): equations 7 to 11 of
// its slides, with the coefficients of its published code. The agent is in models/twm/.
//
// A latent z is g categoricals of k classes, given by logits [n, g, k]; n runs over batch and time,
// and every loss is a mean over it. H(p) is entropy, H(p, q) = -sum p ln q cross-entropy, both
// summed over the g categoricals.
//
//   (7)  L_obs = mean[ -ln p(o | z) + alpha1 E(p) + alpha2 H(p, sg q) ]
//   (8)  L_dyn = mean[ H(sg p', q) - beta1 ln N(r; r^, 1) - beta2 ln Bernoulli(d; d^) ]
//   (9)  A_t = sum_k (prod_{i<k} d_{t+i}) r_{t+k} - V_t: generalised advantages at lambda = 1
//   (10) L_ent = mean max(0, Gamma - H(pi) / ln m)
//   (11) p_i = softmax_i(-v_i / tau)
//
// p is the encoder's law of z_t, q what the dynamics predicted of it, p' the encoder's law of
// z_{t+1}; sg stops gradients. E is -H(p) on the slides and in the code a hinge on the entropy as a
// share of its most, max(0, h - H(p) / (g ln k)): with it an encoder that is uncertain enough is
// left alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

namespace allometry::models {

struct TwmObservationOptions {
  double entropy = 5;          // alpha1
  double entropy_hinge = 0.1;  // h; 0: the slides' -H(p)
  double consistency = 0.01;   // alpha2
};

// Equation 7. `log_likelihood`: ln p(o | z), [n]. `predicted` [n] is 1 where predicted_logits are
// of that step and 0 where nothing preceded it, which leaves out H(p, q); undefined: 1 everywhere.
at::Tensor TwmObservationLoss(const at::Tensor& log_likelihood, const at::Tensor& encoded_logits,
                              const at::Tensor& predicted_logits,
                              const TwmObservationOptions& options,
                              const at::Tensor& predicted = {});

struct TwmDynamicsOptions {
  double reward = 10;    // beta1
  double discount = 50;  // beta2
};

// What the dynamics say of the next step, and what it was; each [n] but the latents.
struct TwmStep {
  at::Tensor next_logits;       // of the encoder, [n, g, k]
  at::Tensor predicted_logits;  // [n, g, k]
  at::Tensor reward, predicted_reward;
  at::Tensor discount, discount_logit;  // the target is 0.99 (1 - terminal), not a bit
  // 1 where next_logits are of the next step and 0 where the episode went no further, which leaves
  // out H(sg p', q); undefined: 1 everywhere.
  at::Tensor continues = {};
};

// The terms of equation 8, each a mean over n, without their weights.
struct TwmDynamicsTerms {
  at::Tensor latent, reward, discount;
};
TwmDynamicsTerms TwmDynamicsTermsOf(const TwmStep& step);
// Equation 8.
at::Tensor TwmDynamicsLoss(const TwmStep& step, const TwmDynamicsOptions& options);

// Equation 9, generalised: delta_t = r_t + d_t V_{t+1} - V_t, A_t = delta_t + d_t lambda A_{t+1}.
// `values` has one more element than the others, for what follows the last reward.
std::vector<double> TwmAdvantages(std::span<const double> rewards,
                                  std::span<const double> discounts, std::span<const double> values,
                                  double lambda);

// Equation 10. `logits`: of the policy, [n, m].
at::Tensor TwmPolicyEntropyLoss(const at::Tensor& logits, double least_share);

// Equation 11, balanced sampling: `visits` counts how often each place was drawn. An infinite
// temperature is uniform.
std::vector<double> TwmSampling(std::span<const double> visits, double temperature);

}  // namespace allometry::models
