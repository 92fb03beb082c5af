// Matrix products of rows times panels: one register-tiled kernel for every product of the step.
//
//   P[i][j] = bias[j] + sum over k of A(i, k) B(k, j);   C = P,  C + P  or  C * P (element by
//   element)
//
// A(i, k) is a[i * a_stride + k], or a[k * a_stride + i] where `transposed` (gradients of weights:
// A is then the gradient of the outputs, k the tokens). B(k, j) is
// b[k * b_stride + (j / 16) * b_panel_stride + j % 16]: packed panels have b_stride 16; a matrix
// as it lies has b_panel_stride 16. The sum runs over k in order, whatever the tiling.
#pragma once

namespace allometry::models::fused_cpu::ALLO_ISA {

enum class Into { kSet, kAdd, kMultiply };

struct Product {
  const float* a;
  long a_stride;
  bool transposed;
  const float* b;
  long b_stride;
  long b_panel_stride;
  long rows;
  long depth;
  long panels;      // of 16 columns
  bool half_panel;  // of the last one only 8 columns are in use; the others of C stay as they are
  float* c;
  long c_stride;
  const float* bias;  // or nullptr
  Into into;
};

void Multiply(const Product& product);

// Rows that Multiply computes together; callers that cut rows themselves cut here.
extern const long kRowsPerTile;

}  // namespace allometry::models::fused_cpu::ALLO_ISA
