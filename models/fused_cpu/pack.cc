#include "models/fused_cpu/pack.h"

namespace allometry::models::fused_cpu::ALLO_ISA {
namespace {

float RowScale(const Linear& linear, long row) {
  return row < linear.scaled_rows ? linear.row_scale : 1.0f;
}

}  // namespace

void PackWeights(const Linear& linear, const float* parameters) {
  const Axis in = linear.in, out = linear.out;
  const float* gain = linear.gain_offset < 0 ? nullptr : parameters + linear.gain_offset;
  const float* shift = gain == nullptr ? nullptr : parameters + linear.norm_bias_offset;
  for (long o = 0; o < out.size; ++o) {
    const float* row = parameters + linear.weight_offset + o * in.size;
    const float scale = RowScale(linear, o);
    const long to = out.position(o);
    float* forward = linear.forward + to / kVector * in.used() * kVector + to % kVector;
    float* backward = linear.backward + to * kVector;
    const long backward_panel = out.used() * kVector;
    float bias = linear.bias_offset < 0 ? 0.0f : parameters[linear.bias_offset + o];
    long i = 0;
    for (long group = 0; group < in.size / in.group; ++group) {
      for (long j = 0; j < in.group; ++j, ++i) {
        const long from = group * in.group_pad + j;
        const float value = row[i] * scale * (gain == nullptr ? 1.0f : gain[i]);
        forward[from * kVector] = value;
        backward[from / kVector * backward_panel + from % kVector] = value;
        if (shift != nullptr) bias += row[i] * shift[i];
      }
    }
    linear.bias[to] = bias * scale;
  }
}

void AddGradients(const Linear& linear, const float* parameters, float* gradient) {
  const Axis in = linear.in, out = linear.out;
  const bool folded = linear.gain_offset >= 0;
  for (long o = 0; o < out.size; ++o) {
    const float scale = RowScale(linear, o);
    const long to = out.position(o);
    const float* from = linear.weight_gradient + to * in.padded();
    const float d_bias = linear.bias_gradient[to] * scale;
    float* d_row = gradient + linear.weight_offset + o * in.size;
    if (linear.bias_offset >= 0) gradient[linear.bias_offset + o] += d_bias;
    if (!folded) {
      long i = 0;
      for (long group = 0; group < in.size / in.group; ++group) {
        for (long j = 0; j < in.group; ++j, ++i) {
          d_row[i] += from[group * in.group_pad + j] * scale;
        }
      }
      continue;
    }
    // Behind a norm the input has one group.
    const float* row = parameters + linear.weight_offset + o * in.size;
    const float* gain = parameters + linear.gain_offset;
    const float* shift = parameters + linear.norm_bias_offset;
    float* d_gain = gradient + linear.gain_offset;
    float* d_shift = gradient + linear.norm_bias_offset;
    for (long i = 0; i < in.size; ++i) {
      const float d_folded = from[i] * scale;
      d_row[i] += d_folded * gain[i] + d_bias * shift[i];
      d_gain[i] += d_folded * row[i];
      d_shift[i] += d_bias * row[i];
    }
  }
}

}  // namespace allometry::models::fused_cpu::ALLO_ISA
