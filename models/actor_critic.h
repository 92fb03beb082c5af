// An agent: a policy and a value function on what it sees, x, and the losses that train them.
//
// Actor and critic are two networks with no shared weights,
//
//   Linear(f -> width), LayerNorm, SiLU, Linear(width -> width), LayerNorm, SiLU,
//   Linear(width -> actions | 1),
//
// whose last layers begin at zero: the first policy is uniform, the first value 0. There is no
// memory. x is a vector for each observation: the features of its tokens, one after the other.
//
// A roll-out has T steps of B rows, t-major. With r_t the reward of the action at x_t and d_t 1
// where the episode ended there,
//
//   G_{T-1} = r + gamma (1 - d) V(x_T),
//   G_t     = r_t + gamma (1 - d_t) ((1 - lambda) V(x_{t+1}) + lambda G_{t+1})
//   A_t     = (G_t - V(x_t)) / S,   w_t = prod over i < t of (1 - d_i)
//   L       = -mean w min(rho A, clip(rho, 1 - c, 1 + c) A) - eta mean w H(pi)
//             + 1/2 mean w (V - G)^2,   rho = pi / pi_old
//
// G and A are constants to the gradient. S is the moving average (0.95) of the distance between the
// 5 % and 95 % quantiles of G, at least 0.1. (Lambda-returns: Sutton and Barto 2018, 12.1; the
// clipped surrogate: Schulman et al. 2017; the scale of returns: Hafner et al. 2023.)
#pragma once

#include <ATen/core/TensorBody.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/train_step.h"

namespace allometry::models {

struct ActorCriticShape {
  int64_t features = 0;  // f
  int64_t actions = 0;
  int64_t width = 256;
};

// actor.0.weight, actor.0.bias, actor.norm_0.weight, ... and the same of the critic.
ParameterLayout ActorCriticLayout(const ActorCriticShape& shape);
// N(0, 1 / fan-in) from counter-based draws; gains 1, biases 0, the last layers 0.
void InitializeActorCritic(const ParameterLayout& layout, int64_t seed,
                           std::span<float> parameters);

// Lambda-returns of T steps of B rows, t-major: rewards and ends are [T, B], values [T + 1, B] with
// V(x_T) last. The result is [T, B].
std::vector<double> LambdaReturns(std::span<const double> rewards, std::span<const uint8_t> ends,
                                  std::span<const double> values, int64_t rows, double gamma,
                                  double lambda);
// w_t, [T, B].
std::vector<double> ReachWeights(std::span<const uint8_t> ends, int64_t rows);

// The distance between the 5 % and the 95 % quantile, by linear interpolation.
double QuantileRange(std::vector<double> values);

struct ActorCriticLossOptions {
  double entropy = 0.03;  // eta
  double clip = 0.2;      // c
};

// What of a roll-out the losses read; all of n = T B elements, in one order.
struct RollOut {
  at::Tensor logits;         // [n, actions], of the policy that is trained
  at::Tensor values;         // [n], of the critic that is trained
  at::Tensor actions;        // [n], int64
  at::Tensor old_log_probs;  // [n], ln pi_old of those
  at::Tensor advantages;     // [n], A
  at::Tensor returns;        // [n], G
  at::Tensor weights;        // [n], w
};

struct ActorCriticLosses {
  at::Tensor total;           // L
  at::Tensor entropy, value;  // mean w H / mean w, mean w (V - G)^2 / 2, without gradient
};
ActorCriticLosses ActorCriticLoss(const RollOut& roll_out, const ActorCriticLossOptions& options);

// The networks over a flat buffer of parameters. One thread.
class ActorCritic {
 public:
  // `parameters` and `gradient` have the layout's size and outlive this.
  ActorCritic(const ActorCriticShape& shape, std::span<float> parameters,
              std::span<float> gradient);
  ~ActorCritic();

  // x [n, features] fp32. Without a gradient.
  at::Tensor Logits(const at::Tensor& x) const;  // [n, actions]
  at::Tensor Values(const at::Tensor& x) const;  // [n]

  // gradient = dL/dparameters at x [n, features]; `roll_out` without logits and values.
  ActorCriticLosses Gradient(const at::Tensor& x, RollOut roll_out,
                             const ActorCriticLossOptions& options);
  // gradient = that of the mean cross-entropy of `actions` [n]; returns the mean, in nats.
  double CloningGradient(const at::Tensor& x, const at::Tensor& actions);

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace allometry::models
