#include "models/adamw_cpu.h"

#include <cmath>

#include "models/bf16.h"

namespace allometry::models {

double Norm(std::span<const float> values) {
  // Lanes instead of one sum, so that the compiler may vectorise without changing the order.
  constexpr size_t kLanes = 16;
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) {
      const double value = values[i + k];
      lanes[k] += value * value;
    }
  }
  for (size_t k = 0; i < values.size(); ++i, ++k) {
    const double value = values[i];
    lanes[k] += value * value;
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return std::sqrt(sum);
}

void AdamWPass(const AdamWCoefficients& c, int64_t size, float* __restrict parameters,
               const float* __restrict gradient, float* __restrict first_moment,
               float* __restrict second_moment) {
  for (int64_t i = 0; i < size; ++i) {
    const float g = gradient[i] * c.gradient_scale;
    const float m = c.beta1 * first_moment[i] + (1 - c.beta1) * g;
    const float v = c.beta2 * second_moment[i] + (1 - c.beta2) * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    parameters[i] =
        parameters[i] * c.decay - c.rate * m / (std::sqrt(v) * c.second_correction + c.epsilon);
  }
}

void RoundToBf16(std::span<const float> values, uint16_t* __restrict rounded) {
  for (size_t i = 0; i < values.size(); ++i) rounded[i] = ToBf16(values[i]);
}

}  // namespace allometry::models
