// The reference training step: a GPT-2 style transformer on LibTorch's autograd, CPU and CUDA.
//
//   x   = wte[token] + wpe[position]
//   x  += proj(attention(LN(x)));  x += proj(GELU(fc(LN(x))))      for each block
//   logits = LN(x) wte^T;  loss = mean cross-entropy
//
// (Radford et al. 2019; exact GELU and causal attention as in Karpathy's nanoGPT, no dropout.)
// Every parameter is a leaf over its slice of the caller's flat buffer, and its gradient a view of
// the caller's flat gradient, so backward adds where the caller wants it and nothing is copied.
#pragma once

#include <memory>

#include "models/train_step.h"

namespace allometry::models {

// Takes every valid shape on every device. Not thread-safe: one step, one thread.
absl::StatusOr<std::unique_ptr<TrainStep>> CreateAutogradStep(const Shape& shape,
                                                              const ParameterLayout& layout,
                                                              Device device);

}  // namespace allometry::models
