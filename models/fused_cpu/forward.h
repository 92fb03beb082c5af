// The parts of the forward pass that training and decoding share.
#pragma once

#include "models/fused_cpu/pack.h"
#include "models/fused_cpu/plan.h"
#include "models/fused_cpu/product.h"
#include "models/fused_cpu/rows.h"
#include "models/fused_cpu/vector.h"

namespace allometry::models::fused_cpu::ALLO_ISA {

// y = x W^T + b, or added to y.
ALLO_INLINE void Apply(const Linear& linear, const float* x, long x_stride, long tokens, float* y,
                       long y_stride, Into into) {
  Multiply({.a = x,
            .a_stride = x_stride,
            .transposed = false,
            .b = linear.forward,
            .b_stride = kLanes,
            .b_panel_stride = linear.in.used() * kLanes,
            .rows = tokens,
            .depth = linear.in.used(),
            .panels = linear.out.panels(),
            .half_panel = linear.out.half_panel() && !linear.pads_outputs,
            .c = y,
            .c_stride = y_stride,
            .bias = linear.bias,
            .into = into});
}

ALLO_INLINE Rows WidthRows(const Plan& plan, float* data, long tokens) {
  return {data, plan.width_stride, tokens, PadToVector(plan.width)};
}

// Where in the flat buffer a position's row of a table begins.
ALLO_INLINE int64_t PositionRow(const Plan& plan, int table, long position) {
  const Plan::PositionTable& of = plan.position_tables[table];
  return of.offset + position / of.tokens_per_row % of.rows * plan.width;
}

// x = the token's row of the token table + the position's row of each table of positions.
ALLO_INLINE void EmbedToken(const Plan& plan, const float* parameters, int32_t id, long position,
                            float* x) {
  const float* token = parameters + plan.token_table_offset + id * plan.width;
  for (long i = 0; i < plan.width; ++i) x[i] = token[i];
  for (int table = 0; table < plan.position_table_count; ++table) {
    const float* place = parameters + PositionRow(plan, table, position);
    for (long i = 0; i < plan.width; ++i) x[i] += place[i];
  }
  // A run that went to infinity must leave nothing behind in the padding.
  for (long i = plan.width; i < PadToVector(plan.width); ++i) x[i] = 0;
}

// Of rotary positions: turns a token's queries and keys, at the front of its row of qkv, by its
// position's angles; their gradients back by the same.
template <bool kForward>
ALLO_INLINE void Rotate(const Plan& plan, long position, float* qkv) {
  const float* cosine = plan.cosine + position * plan.head_pad;
  const float* sine = plan.signed_sine + position * plan.head_pad;
  for (long head = 0; head < 2 * plan.heads; ++head) {
    float* x = qkv + head * plan.head_pad;
    for (long i = 0; i < plan.head_pad; i += kLanes) {
      const Vec value = Load(x + i), turn = SwapNeighbours(value) * Load(sine + i);
      const Vec straight = value * Load(cosine + i);
      if constexpr (kForward) {
        Store(x + i, straight + turn);
      } else {
        Store(x + i, straight - turn);
      }
    }
  }
}

// x += down(GELU(up(LN(x)))): the second half of a block.
ALLO_INLINE void MlpForward(const Plan& plan, const Block& block, long tokens) {
  const BlockActivations& a = block.activations;
  Normalize(WidthRows(plan, plan.x, tokens), plan.width, plan.width_mask, a.normed_2,
            a.inverse_std_2);
  Apply(block.up, a.normed_2, plan.width_stride, tokens, a.hidden, plan.hidden_stride, Into::kSet);
  Gelu({a.hidden, plan.hidden_stride, tokens, block.up.out.padded()}, a.gelu_derivative);
  Apply(block.down, a.hidden, plan.hidden_stride, tokens, plan.x, plan.width_stride, Into::kAdd);
}

template <class Visit>
ALLO_INLINE void ForEachLinear(const Plan& plan, Visit visit) {
  for (long layer = 0; layer < plan.layers; ++layer) {
    const Block& block = plan.blocks[layer];
    visit(block.qkv);
    visit(block.project);
    visit(block.up);
    visit(block.down);
  }
  visit(plan.head);
}

}  // namespace allometry::models::fused_cpu::ALLO_ISA
