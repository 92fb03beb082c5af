#include "models/twm/layout.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/split_mix.h"

namespace allometry::models::twm {
namespace {

constexpr double kFirstPolicyGain = 0.01;

class Builder {
 public:
  void Add(std::string name, std::vector<int64_t> shape) {
    ParameterView view;
    view.name = std::move(name);
    view.offset = layout_.size;
    view.size = 1;
    for (const int64_t extent : shape) view.size *= extent;
    view.decays = shape.size() > 1;
    view.shape = std::move(shape);
    layout_.size += view.size;
    layout_.trained = layout_.size;
    layout_.views.push_back(std::move(view));
  }
  void Linear(const std::string& name, int64_t in, int64_t out) {
    Add(name + ".weight", {out, in});
    Add(name + ".bias", {out});
  }
  void Layers(const std::string& name, int64_t in, int64_t width, int64_t layers, int64_t out) {
    for (int64_t i = 0; i < layers; ++i) {
      Linear(absl::StrCat(name, ".", i), i == 0 ? in : width, width);
    }
    Linear(absl::StrCat(name, ".out"), layers == 0 ? in : width, out);
  }
  void Norm(const std::string& name, int64_t width) {
    Add(name + ".gain", {width});
    Add(name + ".bias", {width});
  }
  ParameterLayout Take() { return std::move(layout_); }

 private:
  ParameterLayout layout_;
};

int64_t Latent(const run::TwmRecipe& recipe) { return recipe.groups * recipe.classes; }

// A standard normal: Box and Muller (1958).
double Normal(uint64_t key, uint64_t counter) {
  const auto unit = [&](uint64_t i) {
    return (static_cast<double>(SplitMix(key ^ i) >> 11) + 0.5) * 0x1p-53;
  };
  return std::sqrt(-2 * std::log(unit(2 * counter))) * std::cos(2 * M_PI * unit(2 * counter + 1));
}

// Makes the rows of a [rows, columns] matrix orthonormal, or its columns where they are fewer:
// Gram and Schmidt.
void Orthonormalise(int64_t rows, int64_t columns, std::vector<double>* matrix) {
  const bool by_rows = rows <= columns;
  const int64_t count = by_rows ? rows : columns, length = by_rows ? columns : rows;
  const auto at = [&](int64_t vector, int64_t i) -> double& {
    return (*matrix)[static_cast<size_t>(by_rows ? vector * columns + i : i * columns + vector)];
  };
  for (int64_t a = 0; a < count; ++a) {
    for (int64_t b = 0; b < a; ++b) {
      double dot = 0;
      for (int64_t i = 0; i < length; ++i) dot += at(a, i) * at(b, i);
      for (int64_t i = 0; i < length; ++i) at(a, i) -= dot * at(b, i);
    }
    double square = 0;
    for (int64_t i = 0; i < length; ++i) square += at(a, i) * at(a, i);
    for (int64_t i = 0; i < length; ++i) at(a, i) /= std::sqrt(square);
  }
}

// Values that a matrix, a convolution's kernel or an embedding begins with.
std::vector<double> FirstValues(const ParameterView& view, uint64_t key, bool orthogonal) {
  std::vector<double> values(static_cast<size_t>(view.size));
  for (int64_t i = 0; i < view.size; ++i) {
    values[static_cast<size_t>(i)] = Normal(key, static_cast<uint64_t>(view.offset + i));
  }
  if (orthogonal) {
    Orthonormalise(view.shape[0], view.shape[1], &values);
    if (view.name == "actor.out.weight") {
      for (double& value : values) value *= kFirstPolicyGain;
    }
    return values;
  }
  double scale = 0.02;
  if (!absl::StrContains(view.name, "embedding")) {
    // A transposed convolution's kernel is [in, out, k, k], and each of its outputs sees about
    // (k / 2)^2 places of every input.
    const bool transposed = absl::StrContains(view.name, "transposed");
    int64_t fan_in = transposed ? view.shape[0] : view.shape[1];
    if (view.shape.size() == 4) fan_in *= view.shape[2] * view.shape[3] / (transposed ? 4 : 1);
    scale = 1 / std::sqrt(static_cast<double>(fan_in));
  }
  for (double& value : values) value *= scale;
  return values;
}

}  // namespace

ParameterLayout ObservationLayout(const run::TwmRecipe& recipe) {
  Builder builder;
  const int64_t c = recipe.channels;
  int64_t in = kFrames;
  for (int i = 0; i < 4; ++i) {
    const std::string name = absl::StrCat("observation.encoder.convolution_", i);
    builder.Add(name + ".weight", {c << i, in, 4, 4});
    builder.Add(name + ".bias", {c << i});
    in = c << i;
  }
  builder.Layers("observation.encoder", in * 4, recipe.hidden, recipe.hidden_layers,
                 Latent(recipe));
  builder.Linear("observation.decoder.in", Latent(recipe), 16 * c);
  in = 16 * c;
  const int64_t kernels[] = {5, 5, 6, 6};
  for (int i = 0; i < 4; ++i) {
    const int64_t out = i == 3 ? kFrames : (4 * c) >> i;
    const std::string name = absl::StrCat("observation.decoder.transposed_", i);
    builder.Add(name + ".weight", {in, out, kernels[i], kernels[i]});
    builder.Add(name + ".bias", {out});
    in = out;
  }
  return builder.Take();
}

ParameterLayout DynamicsLayout(const run::TwmRecipe& recipe, int64_t actions) {
  Builder builder;
  const int64_t w = recipe.width;
  builder.Linear("dynamics.latent", Latent(recipe), w);
  builder.Add("dynamics.action.embedding", {actions, w});
  if (recipe.reward_input) builder.Linear("dynamics.reward", 1, w);
  for (int64_t i = 0; i < recipe.layers; ++i) {
    const std::string name = absl::StrCat("dynamics.layer_", i);
    builder.Add(name + ".attention.qkv.weight", {3 * w, w});
    builder.Add(name + ".attention.position.weight", {w, w});
    builder.Add(name + ".attention.content_bias", {w});
    builder.Add(name + ".attention.position_bias", {w});
    builder.Add(name + ".attention.out.weight", {w, w});
    builder.Norm(name + ".norm_1", w);
    builder.Linear(name + ".up", w, 4 * w);
    builder.Linear(name + ".down", 4 * w, w);
    builder.Norm(name + ".norm_2", w);
  }
  builder.Layers("dynamics.next_latent", w, 2 * w, recipe.head_layers, Latent(recipe));
  builder.Layers("dynamics.next_reward", w, w, recipe.head_layers, 1);
  builder.Layers("dynamics.next_discount", w, w, recipe.head_layers, 1);
  return builder.Take();
}

ParameterLayout ActorLayout(const run::TwmRecipe& recipe, int64_t actions) {
  Builder builder;
  builder.Layers("actor", Latent(recipe), recipe.agent_width, recipe.agent_layers, actions);
  return builder.Take();
}

ParameterLayout CriticLayout(const run::TwmRecipe& recipe) {
  Builder builder;
  builder.Layers("critic", Latent(recipe), recipe.agent_width, recipe.agent_layers, 1);
  return builder.Take();
}

void InitializeNetwork(const ParameterLayout& layout, int64_t seed, uint64_t salt, bool orthogonal,
                       std::span<float> parameters) {
  const uint64_t key = SplitMix(static_cast<uint64_t>(seed) ^ SplitMix(0x74776dULL + salt));
  for (const ParameterView& view : layout.views) {
    float* values = parameters.data() + view.offset;
    if (view.shape.size() > 1) {
      const std::vector<double> drawn = FirstValues(view, key, orthogonal);
      for (size_t i = 0; i < drawn.size(); ++i) values[i] = static_cast<float>(drawn[i]);
      continue;
    }
    float value = 0;
    if (view.name.ends_with(".gain")) value = 1;
    if (view.name == "observation.decoder.transposed_3.bias") value = 0.5f;
    if (view.name == "dynamics.next_discount.out.bias") value = 0.99f;
    for (int64_t i = 0; i < view.size; ++i) values[i] = value;
  }
}

std::vector<at::Tensor> TensorsOf(const ParameterLayout& layout, std::span<float> parameters,
                                  std::span<float> gradient) {
  std::vector<at::Tensor> tensors;
  const auto slice = [](float* buffer, const ParameterView& view) {
    return at::from_blob(buffer + view.offset, view.shape, at::TensorOptions().dtype(at::kFloat));
  };
  for (const ParameterView& view : layout.views) {
    tensors.push_back(slice(parameters.data(), view));
    if (gradient.empty()) continue;
    tensors.back().set_requires_grad(true);
    tensors.back().mutable_grad() = slice(gradient.data(), view);
  }
  return tensors;
}

at::Tensor RunLayers(Cursor& cursor, int64_t layers, at::Tensor x) {
  for (int64_t i = 0; i <= layers; ++i) {
    const at::Tensor& weight = cursor.Next();
    x = at::linear(x, weight, cursor.Next());
    if (i < layers) x = at::silu(x);
  }
  return x;
}

}  // namespace allometry::models::twm
