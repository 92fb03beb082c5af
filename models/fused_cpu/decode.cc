#include "models/fused_cpu/decode.h"

#include "models/fused_cpu/attention.h"
#include "models/fused_cpu/forward.h"

namespace allometry::models::fused_cpu::ALLO_ISA {
namespace {

// The rows that go through the network together.
struct Group {
  long first_row;
  long rows;
  long first_position;
  long count;  // tokens a row

  long tokens() const { return rows * count; }
};

float* KeysOf(const Plan& plan, const DecodeCache& cache, long layer, long row, long head) {
  return cache.keys +
         ((layer * cache.rows + row) * plan.heads + head) * cache.capacity * plan.head_pad;
}

float* ValuesOf(const Plan& plan, const DecodeCache& cache, long layer, long row, long head) {
  return cache.values +
         ((layer * cache.rows + row) * plan.heads + head) * cache.capacity * plan.head_pad;
}

// The key and value of one token and head go behind those of the tokens before.
void Remember(const Plan& plan, const float* k, const float* v, long position, float* keys,
              float* values) {
  float* panel = keys + position / kLanes * plan.head_pad * kLanes + position % kLanes;
  for (long i = 0; i < plan.head_pad; ++i) panel[i * kLanes] = k[i];
  float* value = values + position * plan.head_pad;
  for (long i = 0; i < plan.head_pad; ++i) value[i] = v[i];
}

void Attend(const Plan& plan, const DecodeCache& cache, const Group& group, long layer,
            const BlockActivations& a) {
  for (long token = 0; token < group.tokens(); ++token) {
    const long row = group.first_row + token / group.count;
    const long position = group.first_position + token % group.count;
    for (long head = 0; head < plan.heads; ++head) {
      const float* q = a.qkv + token * plan.qkv_stride + head * plan.head_pad;
      const float* k = q + plan.heads * plan.head_pad;
      const float* v = k + plan.heads * plan.head_pad;
      float* keys = KeysOf(plan, cache, layer, row, head);
      float* values = ValuesOf(plan, cache, layer, row, head);
      Remember(plan, k, v, position, keys, values);
      AttentionOfOne({.q = q,
                      .keys = keys,
                      .values = values,
                      .head_pad = plan.head_pad,
                      .position = position,
                      .scores = cache.scores},
                     a.mixed + token * plan.mixed_stride + head * plan.head_pad);
    }
  }
}

void BlockForward(const Plan& plan, const DecodeCache& cache, const Group& group, long layer) {
  const Block& block = plan.blocks[layer];
  const BlockActivations& a = block.activations;
  const long tokens = group.tokens();
  Normalize(WidthRows(plan, plan.x, tokens), plan.width, plan.width_mask, a.normed_1,
            a.inverse_std_1);
  Apply(block.qkv, a.normed_1, plan.width_stride, tokens, a.qkv, plan.qkv_stride, Into::kSet);
  for (long token = 0; plan.is_rotary && token < tokens; ++token) {
    Rotate<true>(plan, group.first_position + token % group.count, a.qkv + token * plan.qkv_stride);
  }
  Attend(plan, cache, group, layer, a);
  Apply(block.project, a.mixed, plan.mixed_stride, tokens, plan.x, plan.width_stride, Into::kAdd);
  MlpForward(plan, block, tokens);
}

void Pack(const Plan& plan, const float* parameters) {
  ForEachLinear(plan, [&](const Linear& linear) { PackWeights(linear, parameters); });
}

void Append(const Plan& plan, const DecodeCache& cache, const float* parameters,
            const int32_t* tokens, long first, long count) {
  const long most_rows = plan.chunk_sequences * plan.context / count;
  for (long row = 0; row < cache.rows; row += most_rows) {
    const long left = cache.rows - row;
    const Group group = {.first_row = row,
                         .rows = left < most_rows ? left : most_rows,
                         .first_position = first,
                         .count = count};
    for (long t = 0; t < group.tokens(); ++t) {
      EmbedToken(plan, parameters, tokens[row * count + t], first + t % count,
                 plan.x + t * plan.width_stride);
    }
    for (long layer = 0; layer < plan.layers; ++layer) BlockForward(plan, cache, group, layer);
    for (long i = 0; i < group.rows; ++i) {
      __builtin_memcpy(cache.last_x + (row + i) * plan.width_stride,
                       plan.x + ((i + 1) * count - 1) * plan.width_stride,
                       sizeof(float) * PadToVector(plan.width));
    }
  }
}

// Of the head only the panels that the segment lies in.
void Logits(const Plan& plan, const DecodeCache& cache, long begin, long end, float* out) {
  const long first_panel = begin / kLanes, panels = (end - 1) / kLanes + 1 - first_panel;
  const long most_rows = plan.chunk_sequences * plan.context;
  for (long row = 0; row < cache.rows; row += most_rows) {
    const long left = cache.rows - row, rows = left < most_rows ? left : most_rows;
    float* x = cache.last_x + row * plan.width_stride;
    Normalize(WidthRows(plan, x, rows), plan.width, plan.width_mask, plan.normed, plan.inverse_std);
    Multiply({.a = plan.normed,
              .a_stride = plan.width_stride,
              .transposed = false,
              .b = plan.head.forward + first_panel * plan.head.in.used() * kLanes,
              .b_stride = kLanes,
              .b_panel_stride = plan.head.in.used() * kLanes,
              .rows = rows,
              .depth = plan.head.in.used(),
              .panels = panels,
              .half_panel = false,
              .c = plan.logits,
              .c_stride = plan.logits_stride,
              .bias = plan.head.bias + first_panel * kLanes,
              .into = Into::kSet});
    for (long i = 0; i < rows; ++i) {
      __builtin_memcpy(out + (row + i) * (end - begin),
                       plan.logits + i * plan.logits_stride + begin % kLanes,
                       sizeof(float) * (end - begin));
    }
  }
}

}  // namespace

const DecodeKernels kDecodeKernels = {.pack = &Pack, .append = &Append, .logits = &Logits};

}  // namespace allometry::models::fused_cpu::ALLO_ISA
