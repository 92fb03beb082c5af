// Decoding on CPUs: the network of step.h, forward only, a few tokens at a time, with the keys and
// values of earlier tokens kept. For one instruction set each.
//
// Every number of a row comes from that row's tokens alone and is summed in an order that depends
// on nothing else. So bits do not depend on which rows are computed together, nor on how many
// tokens come at once.
#pragma once

#include "models/fused_cpu/plan.h"

namespace allometry::models::fused_cpu {

struct DecodeCache {
  long rows = 0;
  long capacity = 0;        // positions, whole vectors
  float* keys = nullptr;    // [layers][rows][heads][capacity / 16][head_pad][16]
  float* values = nullptr;  // [layers][rows][heads][capacity][head_pad]
  float* last_x = nullptr;  // [rows][width_stride]: the residual stream of each row's last token
  float* scores = nullptr;  // [capacity]: scratch
};

struct DecodeKernels {
  // Packs the weights of `parameters` into the plan.
  void (*pack)(const Plan& plan, const float* parameters);
  // Token t of row r is tokens[r * count + t] and gets the position first + t.
  void (*append)(const Plan& plan, const DecodeCache& cache, const float* parameters,
                 const int32_t* tokens, long first, long count);
  // out[r][i]: the logit of id begin + i after row r's last token, i < end - begin.
  void (*logits)(const Plan& plan, const DecodeCache& cache, long begin, long end, float* out);
};

namespace avx512 {
extern const DecodeKernels kDecodeKernels;
}
namespace avx2 {
extern const DecodeKernels kDecodeKernels;
}
namespace baseline {
extern const DecodeKernels kDecodeKernels;
}

}  // namespace allometry::models::fused_cpu
