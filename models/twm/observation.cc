#include "models/twm/observation.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <numbers>

#include "base/check.h"
#include "models/decode.h"
#include "models/twm/layout.h"

namespace allometry::models::twm {
namespace {

constexpr int kConvolutions = 4;

// Tensors before the decoder's.
size_t EncoderTensors(const run::TwmRecipe& recipe) {
  return 2 * kConvolutions + 2 * (static_cast<size_t>(recipe.hidden_layers) + 1);
}

}  // namespace

at::Tensor Encode(const run::TwmRecipe& recipe, std::span<const at::Tensor> tensors,
                  const at::Tensor& frames) {
  Cursor cursor(tensors);
  at::Tensor x = frames;
  for (int i = 0; i < kConvolutions; ++i) {
    const at::Tensor& weight = cursor.Next();
    x = at::silu(at::conv2d(x, weight, cursor.Next(), /*stride=*/2));
  }
  x = RunLayers(cursor, recipe.hidden_layers, x.reshape({x.size(0), -1}));
  return x.view({x.size(0), recipe.groups, recipe.classes});
}

at::Tensor Decode(const run::TwmRecipe& recipe, std::span<const at::Tensor> tensors,
                  const at::Tensor& latents) {
  Cursor cursor(tensors.subspan(EncoderTensors(recipe)));
  const at::Tensor& weight = cursor.Next();
  at::Tensor x = at::silu(at::linear(latents.reshape({latents.size(0), -1}), weight, cursor.Next()))
                     .view({latents.size(0), 16 * recipe.channels, 1, 1});
  for (int i = 0; i < kConvolutions; ++i) {
    const at::Tensor& kernel = cursor.Next();
    x = at::conv_transpose2d(x, kernel, cursor.Next(), /*stride=*/2);
    if (i + 1 < kConvolutions) x = at::silu(x);
  }
  return x;
}

at::Tensor PixelLogLikelihood(const at::Tensor& frames, const at::Tensor& decoded) {
  const at::Tensor error = (frames - decoded).reshape({frames.size(0), -1});
  return -0.5 * (error * error).mean(1) - 0.5 * std::log(2 * std::numbers::pi);
}

at::Tensor SampleLatent(const at::Tensor& logits, uint64_t seed, int64_t first_row) {
  const at::NoGradGuard no_grad;
  const at::Tensor law = logits.detach().contiguous().to(at::kFloat);
  const int64_t rows = law.size(0), groups = law.size(1), classes = law.size(2);
  at::Tensor drawn = at::zeros_like(law);
  const float* from = law.const_data_ptr<float>();
  float* to = drawn.mutable_data_ptr<float>();
  const auto k = static_cast<size_t>(classes);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t group = 0; group < groups; ++group, from += k, to += k) {
      const double u =
          Uniform(seed, static_cast<uint64_t>(first_row + row), static_cast<uint64_t>(group));
      to[SampleToken(std::span(from, k), u)] = 1;
    }
  }
  return drawn.to(logits.scalar_type());
}

at::Tensor ModeLatent(const at::Tensor& logits) {
  const at::NoGradGuard no_grad;
  return at::zeros_like(logits).scatter_(2, logits.argmax(2, /*keepdim=*/true), 1.0);
}

at::Tensor StraightThrough(const at::Tensor& one_hot, const at::Tensor& logits) {
  const at::Tensor chances = logits.softmax(2);
  return one_hot + (chances - chances.detach());
}

}  // namespace allometry::models::twm
