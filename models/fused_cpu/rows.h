// What the step does to rows of activations between the products: layer norm, GELU, the sums of
// bias gradients, softmax with cross-entropy.
#pragma once

#include <stdint.h>

#include "models/fused_cpu/plan.h"

namespace allometry::models::fused_cpu::ALLO_ISA {

// Rows of `columns` floats (whole vectors) at distance `stride`.
struct Rows {
  float* data;
  long stride;
  long count;
  long columns;
};

// normed = (x - mean) / sqrt(var + 1e-5) over the `width` columns that `mask` has as 1; padding
// becomes 0. `normed` has x's shape.
void Normalize(const Rows& x, long width, const float* mask, float* normed, float* inverse_std);

// d_x += gradient through Normalize, or d_x = it where `overwrite`.
void NormalizeBackward(const Rows& d_normed, long width, const float* mask, const float* normed,
                       const float* inverse_std, float* d_x, bool overwrite);

// x = GELU(x) with the exact normal distribution; derivative = GELU'(x).
void Gelu(const Rows& x, float* derivative);

// sums[column] += sum over the rows.
void AddColumnSums(const Rows& rows, float* sums);

// What a row's logits are held against.
struct Targets {
  const int32_t* ids;  // of each row
  Classes classes;
  float weight;  // of a row's cross-entropy in the gradient
  bool with_gradient;
  const float* weights;  // of each row, multiplied by `weight`; nullptr: 1
};

// The rows' cross-entropies against their targets, p = softmax(logits). Logits become
// weight * (p - one-hot), their gradient, where `with_gradient`; otherwise they are lost.
void CrossEntropy(const Rows& logits, const Targets& targets, double* losses);

// -log of the probability of the target's class. Logits become weight * (p - q), q the softmax
// within the class.
void ClassCrossEntropy(const Rows& logits, const Targets& targets, double* losses);

}  // namespace allometry::models::fused_cpu::ALLO_ISA
