// What one rank of a run needs in memory. An estimate for people and for refusing what cannot fit.
#pragma once

#include "proto/types.pb.h"

namespace allometry::cost {

// Bytes of single precision for eager training of the transformer, without the libraries' own:
//
//   state        16 (total parameters)             weights, gradients, two moments
//   activations  4 b T (L (18 d + H T) + 3 V)      kept for the backward pass
//
// b sequences of T tokens at once (the micro-batch, or the rank's whole share of the batch), L
// layers of width d and H heads, vocabulary V. 18 d a layer: two layer norms 2d, qkv 3d, attention
// 2d, residuals 2d, MLP 9d; H T the attention weights, which fused attention does not keep; 3 V the
// logits, their softmax and its gradient. After Korthikanti et al. 2022, section 4.1.
double RankMemoryBytes(const v1::Run& run);

}  // namespace allometry::cost
