// AdamW (Loshchilov and Hutter 2019) in one pass over the flat buffers.
//
//   g   = gradient * min(1, clip_norm / |gradient|)          global norm over all parameters
//   m   = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
//   p   = p (1 - rate * weight_decay)                        where the view decays
//   p  -= rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
//
// The buffers lie on the device that the optimizer was made for. On CPUs the sums have a fixed
// order, so the same inputs give the same bits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "models/train_step.h"

namespace allometry::models {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double weight_decay = 0.1;
  double epsilon = 1e-8;
  double clip_norm = 1.0;  // 0: no clipping
};

// The flat state of a model in training; every span has ParameterLayout::size elements.
struct AdamWState {
  std::span<float> parameters;
  std::span<float> gradient;  // left as it is
  std::span<float> first_moment;
  std::span<float> second_moment;
  // Not empty: gets the updated parameters, rounded to the nearest bf16, in the same pass.
  std::span<uint16_t> rounded = {};
};

class AdamW {
 public:
  virtual ~AdamW() = default;

  // Update number `step`, from 1, at learning rate `rate`. *gradient_norm, on the device, gets the
  // norm before clipping.
  virtual void Step(const AdamWState& state, int64_t step, double rate, double* gradient_norm) = 0;
};

std::unique_ptr<AdamW> CreateAdamW(const ParameterLayout& layout, const AdamWOptions& options,
                                   Device device);

}  // namespace allometry::models
