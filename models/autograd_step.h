// The reference training step: a GPT-2 style transformer on LibTorch's autograd, CPU and CUDA.
//
//   x   = wte[token] + the rows of positions.h, such as wpe[position]
//   x  += proj(attention(LN(x)));  x += proj(GELU(fc(LN(x))))      for each block
//   logits = LN(x) wte^T;  loss = mean cross-entropy
//
// (Radford et al. 2019; exact GELU and causal attention as in Karpathy's nanoGPT, no dropout.)
// Every parameter is a leaf over its slice of the caller's flat buffer, and its gradient a view of
// the caller's flat gradient, so backward adds where the caller wants it and nothing is copied.
//
// In bf16 the residual stream, matrix products and attention are bf16. Their operands are a flat
// bf16 copy of the parameters, and what backward adds to the copy's gradients is added to the
// caller's fp32 gradient after each micro-batch. fp32 are: the embeddings and their gradients, the
// image encoder, the sums inside of products, layer norms and softmax, the logits and the loss.
// In tf32 the process's matrix products are to be allowed it (run_trainer.cc).
#pragma once

#include <memory>

#include "models/train_step.h"

namespace allometry::models {

// Takes every valid shape and precision on every device. Not thread-safe: one step, one thread.
absl::StatusOr<std::unique_ptr<TrainStep>> CreateAutogradStep(const Shape& shape,
                                                              const ParameterLayout& layout,
                                                              Device device,
                                                              run::Precision precision);

}  // namespace allometry::models
