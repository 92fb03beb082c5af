// Between the caller's flat buffers and the step's packed ones: weights in, gradients out.
#pragma once

#include "models/fused_cpu/plan.h"

namespace allometry::models::fused_cpu::ALLO_ISA {

// Fills forward, backward and bias, the norm's gain and bias folded in.
void PackWeights(const Linear& linear, const float* parameters);

// gradient += weight_gradient and bias_gradient, unfolded: with W' = s W diag(g), b' = s (b + W h),
//   dW = s (dW' diag(g) + db' h^T),  db = s db',  dg_i = sum_o s W_oi dW'_oi,  dh = s W^T db'.
void AddGradients(const Linear& linear, const float* parameters, float* gradient);

}  // namespace allometry::models::fused_cpu::ALLO_ISA
