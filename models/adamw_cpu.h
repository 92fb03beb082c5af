// The two loops of AdamW on a CPU, apart from LibTorch so that they get their own compiler flags.
#pragma once

#include <cstdint>
#include <span>

namespace allometry::models {

// Euclidean norm, in double, in an order that depends on the length alone.
double Norm(std::span<const float> values);

struct AdamWCoefficients {
  float gradient_scale;  // of clipping
  float beta1, beta2;
  float decay;              // p is multiplied by this
  float rate;               // learning rate / (1 - beta1^t)
  float second_correction;  // 1 / sqrt(1 - beta2^t)
  float epsilon;
};

// Elements [0, size) of the four buffers.
void AdamWPass(const AdamWCoefficients& c, int64_t size, float* parameters, const float* gradient,
               float* first_moment, float* second_moment);

// rounded[i] = values[i] as the nearest bf16.
void RoundToBf16(std::span<const float> values, uint16_t* rounded);

}  // namespace allometry::models
