#include "models/actor_critic.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/min.h>
#include <ATen/ops/silu.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/split_mix.h"

namespace allometry::models {
namespace {

constexpr double kLayerNormEpsilon = 1e-5;
constexpr int kLayers = 3;

// A standard normal for (seed, counter): Box and Muller (1958).
double Normal(uint64_t seed, uint64_t counter) {
  const uint64_t key = SplitMix(seed ^ 0x61637472637274ULL);
  const double u1 = (static_cast<double>(SplitMix(key ^ (2 * counter)) >> 11) + 0.5) * 0x1p-53;
  const double u2 = (static_cast<double>(SplitMix(key ^ (2 * counter + 1)) >> 11) + 0.5) * 0x1p-53;
  return std::sqrt(-2 * std::log(u1)) * std::cos(2 * M_PI * u2);
}

// The tensors of one network, in the order of the layout: weight and bias of each layer, and
// behind all but the last gain and bias of its norm.
at::Tensor Forward(std::span<const at::Tensor> network, at::Tensor x) {
  for (int layer = 0; layer < kLayers; ++layer) {
    x = at::linear(x, network[0], network[1]);
    if (layer + 1 == kLayers) return x;
    x = at::silu(at::layer_norm(x, {x.size(1)}, network[2], network[3], kLayerNormEpsilon));
    network = network.subspan(4);
  }
  return x;
}

}  // namespace

ParameterLayout ActorCriticLayout(const ActorCriticShape& shape) {
  ALLO_CHECK(shape.features >= 1 && shape.actions >= 1 && shape.width >= 1);
  ParameterLayout layout;
  const auto add = [&](std::string name, std::vector<int64_t> extents) {
    ParameterView view;
    view.name = std::move(name);
    view.offset = layout.size;
    view.size = 1;
    for (const int64_t extent : extents) view.size *= extent;
    view.shape = std::move(extents);
    view.decays = view.shape.size() > 1;
    layout.size += view.size;
    layout.views.push_back(std::move(view));
  };
  for (const auto& [network, outputs] :
       {std::pair("actor", shape.actions), {"critic", int64_t{1}}}) {
    int64_t in = shape.features;
    for (int layer = 0; layer < kLayers; ++layer) {
      const bool last = layer + 1 == kLayers;
      const int64_t out = last ? outputs : shape.width;
      add(absl::StrCat(network, ".", layer, ".weight"), {out, in});
      add(absl::StrCat(network, ".", layer, ".bias"), {out});
      if (last) break;
      add(absl::StrCat(network, ".norm_", layer, ".weight"), {out});
      add(absl::StrCat(network, ".norm_", layer, ".bias"), {out});
      in = out;
    }
  }
  layout.trained = layout.size;
  return layout;
}

void InitializeActorCritic(const ParameterLayout& layout, int64_t seed,
                           std::span<float> parameters) {
  ALLO_CHECK(static_cast<int64_t>(parameters.size()) == layout.size);
  const std::string last = absl::StrCat(".", kLayers - 1, ".");
  for (const ParameterView& view : layout.views) {
    const bool is_matrix = view.shape.size() > 1;
    const bool is_gain = !is_matrix && view.name.find(".norm_") != std::string::npos &&
                         view.name.ends_with(".weight");
    const bool is_last = view.name.find(last) != std::string::npos;
    for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
      const double drawn = Normal(static_cast<uint64_t>(seed), static_cast<uint64_t>(i)) /
                           std::sqrt(static_cast<double>(is_matrix ? view.shape[1] : 1));
      parameters[i] = is_gain ? 1.0f : is_matrix && !is_last ? static_cast<float>(drawn) : 0.0f;
    }
  }
}

std::vector<double> LambdaReturns(std::span<const double> rewards, std::span<const uint8_t> ends,
                                  std::span<const double> values, int64_t rows, double gamma,
                                  double lambda) {
  const auto b = static_cast<size_t>(rows);
  ALLO_CHECK(ends.size() == rewards.size() && values.size() == rewards.size() + b &&
             rewards.size() % b == 0)
      << rewards.size() << " rewards of " << rows << " rows";
  std::vector<double> returns(rewards.size());
  for (size_t i = rewards.size(); i-- > 0;) {
    const double value = values[i + b];
    const double next =
        i + b < returns.size() ? (1 - lambda) * value + lambda * returns[i + b] : value;
    returns[i] = rewards[i] + (ends[i] != 0 ? 0 : gamma * next);
  }
  return returns;
}

std::vector<double> ReachWeights(std::span<const uint8_t> ends, int64_t rows) {
  std::vector<double> weights(ends.size(), 1.0);
  for (size_t i = static_cast<size_t>(rows); i < ends.size(); ++i) {
    const size_t before = i - static_cast<size_t>(rows);
    weights[i] = ends[before] != 0 ? 0 : weights[before];
  }
  return weights;
}

double QuantileRange(std::vector<double> values) {
  ALLO_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return at(0.95) - at(0.05);
}

ActorCriticLosses ActorCriticLoss(const RollOut& r, const ActorCriticLossOptions& options) {
  const at::Tensor log_probs = r.logits.log_softmax(1);
  const at::Tensor chosen = log_probs.gather(1, r.actions.unsqueeze(1)).squeeze(1);
  const at::Tensor rho = (chosen - r.old_log_probs).exp();
  const at::Tensor surrogate =
      at::min(rho * r.advantages, rho.clamp(1 - options.clip, 1 + options.clip) * r.advantages);
  const at::Tensor entropy = -(log_probs.exp() * log_probs).sum(1);
  const at::Tensor error = r.values - r.returns;
  const at::Tensor value = 0.5 * (r.weights * error * error).mean();
  ActorCriticLosses losses;
  losses.total =
      -(r.weights * surrogate).mean() - options.entropy * (r.weights * entropy).mean() + value;
  losses.entropy = (r.weights * entropy).mean().detach() / r.weights.mean();
  losses.value = value.detach();
  return losses;
}

struct ActorCritic::State {
  std::vector<at::Tensor> leaves;
  std::span<float> gradient;
  size_t of_actor = 0;  // tensors; those of the critic follow

  std::span<const at::Tensor> actor() const { return std::span(leaves).first(of_actor); }
  std::span<const at::Tensor> critic() const { return std::span(leaves).subspan(of_actor); }
  // The gradient's tensors are those of the leaves: backward adds to them.
  void Clear() { std::fill(gradient.begin(), gradient.end(), 0.0f); }
};

ActorCritic::ActorCritic(const ActorCriticShape& shape, std::span<float> parameters,
                         std::span<float> gradient)
    : state_(std::make_unique<State>()) {
  const ParameterLayout layout = ActorCriticLayout(shape);
  ALLO_CHECK(static_cast<int64_t>(parameters.size()) == layout.size &&
             gradient.size() == parameters.size());
  state_->gradient = gradient;
  state_->of_actor = layout.views.size() / 2;
  for (const ParameterView& view : layout.views) {
    const auto slice = [&](float* buffer) {
      return at::from_blob(buffer + view.offset, view.shape, at::TensorOptions().dtype(at::kFloat));
    };
    state_->leaves.push_back(slice(parameters.data()).set_requires_grad(true));
    state_->leaves.back().mutable_grad() = slice(gradient.data());
  }
}

ActorCritic::~ActorCritic() = default;

at::Tensor ActorCritic::Logits(const at::Tensor& x) const {
  const at::NoGradGuard no_grad;
  return Forward(state_->actor(), x);
}

at::Tensor ActorCritic::Values(const at::Tensor& x) const {
  const at::NoGradGuard no_grad;
  return Forward(state_->critic(), x).squeeze(1);
}

ActorCriticLosses ActorCritic::Gradient(const at::Tensor& x, RollOut roll_out,
                                        const ActorCriticLossOptions& options) {
  state_->Clear();
  roll_out.logits = Forward(state_->actor(), x);
  roll_out.values = Forward(state_->critic(), x).squeeze(1);
  ActorCriticLosses losses = ActorCriticLoss(roll_out, options);
  losses.total.backward();
  losses.total = losses.total.detach();
  return losses;
}

double ActorCritic::CloningGradient(const at::Tensor& x, const at::Tensor& actions) {
  state_->Clear();
  const at::Tensor loss = at::cross_entropy_loss(Forward(state_->actor(), x), actions);
  loss.backward();
  return loss.item<double>();
}

}  // namespace allometry::models
