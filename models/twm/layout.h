// The parameters of the TWM agent's four networks, each in a flat buffer of its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "models/train_step.h"
#include "models/twm/settings.h"

namespace allometry::models::twm {

ParameterLayout ObservationLayout(const run::TwmRecipe& recipe);
ParameterLayout DynamicsLayout(const run::TwmRecipe& recipe, int64_t actions);
ParameterLayout ActorLayout(const run::TwmRecipe& recipe, int64_t actions);
ParameterLayout CriticLayout(const run::TwmRecipe& recipe);

// Counter-based, a function of (layout, seed, salt) alone; `salt` tells networks apart. Matrices
// and convolutions N(0, 1 / fan-in), embeddings N(0, 0.02), gains 1, the last bias of the decoder
// 0.5, all other vectors 0. Of actor and critic (`orthogonal`) the matrices have orthonormal rows
// or columns, the actor's last times 0.01, so that its first law is nearly uniform.
void InitializeNetwork(const ParameterLayout& layout, int64_t seed, uint64_t salt, bool orthogonal,
                       std::span<float> parameters);

// A tensor for each view over `parameters`; where `gradient` is not empty, leaves whose gradients
// are added up there. The buffers outlive them.
std::vector<at::Tensor> TensorsOf(const ParameterLayout& layout, std::span<float> parameters,
                                  std::span<float> gradient);

// Takes the tensors of a network one after the other, in the layout's order.
class Cursor {
 public:
  explicit Cursor(std::span<const at::Tensor> tensors) : tensors_(tensors) {}

  const at::Tensor& Next() { return tensors_[next_++]; }
  std::span<const at::Tensor> Take(size_t count) {
    next_ += count;
    return tensors_.subspan(next_ - count, count);
  }

 private:
  const std::span<const at::Tensor> tensors_;
  size_t next_ = 0;
};

// `layers` linear layers, each followed by SiLU, and a last one: 2 (layers + 1) tensors.
at::Tensor RunLayers(Cursor& cursor, int64_t layers, at::Tensor x);

}  // namespace allometry::models::twm
