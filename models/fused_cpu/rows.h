// What the step does to rows of activations between the products: layer norm, GELU, the sums of
// bias gradients, softmax with cross-entropy.
#pragma once

#include <stdint.h>

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

// Sum of the rows' cross-entropies against their targets. Logits become
// weight * (softmax - one-hot), their gradient, where `with_gradient`; otherwise they are lost.
double CrossEntropy(const Rows& logits, const int32_t* targets, float weight, bool with_gradient);

}  // namespace allometry::models::fused_cpu::ALLO_ISA
