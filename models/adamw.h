// AdamW (Loshchilov and Hutter 2019) in one pass over the flat buffers.
//
//   g   = gradient * min(1, clip_norm / |gradient|)          global norm over all parameters
//   m   = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
//   p   = p (1 - rate * weight_decay)                        where the view decays
//   p  -= rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
//
// On a CPU; cuda/kernels.h does the same on a GPU. The sums have a fixed order, so the same inputs
// give the same bits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "models/train_step.h"
#include "models/update_numbers.h"

namespace allometry::models {

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

  // Update number `step`, from 1, at learning rate `rate`. *gradient_norm gets the norm before
  // clipping.
  virtual void Step(const AdamWState& state, int64_t step, double rate, double* gradient_norm) = 0;
};

// `device` is a CPU.
std::unique_ptr<AdamW> CreateAdamW(const ParameterLayout& layout, const AdamWOptions& options,
                                   Device device = {});

// Neighbouring views that agree on weight decay, as one range of the flat buffer.
struct DecayRange {
  int64_t offset = 0;
  int64_t size = 0;
  bool decays = false;
};
std::vector<DecayRange> DecayRanges(const ParameterLayout& layout);

}  // namespace allometry::models
