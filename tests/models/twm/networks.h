// Networks of the TWM agent for tests: buffers and tensors of a recipe.
#pragma once

#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "models/twm/layout.h"

namespace allometry::models::twm {

struct Network {
  ParameterLayout layout;
  std::vector<float> parameters, gradient;
  std::vector<at::Tensor> tensors;

  Network(ParameterLayout given, uint64_t salt, bool orthogonal = false)
      : layout(std::move(given)),
        parameters(static_cast<size_t>(layout.size)),
        gradient(parameters.size(), 0.0f) {
    InitializeNetwork(layout, /*seed=*/5, salt, orthogonal, parameters);
    tensors = TensorsOf(layout, parameters, gradient);
  }
  // The same values in double, as constants.
  std::vector<at::Tensor> Doubles() const {
    std::vector<at::Tensor> doubles;
    for (const at::Tensor& tensor : tensors) doubles.push_back(tensor.detach().to(at::kDouble));
    return doubles;
  }
};

// The preset "tiny".
inline run::TwmRecipe TinyRecipe() { return (*FindPreset("tiny"))->recipe; }

inline std::vector<double> RandomNumbers(size_t n, unsigned seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(n);
  for (double& value : values) value = normal(bits);
  return values;
}

}  // namespace allometry::models::twm
