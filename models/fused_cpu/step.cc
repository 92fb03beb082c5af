#include "models/fused_cpu/step.h"

#include "models/fused_cpu/attention.h"
#include "models/fused_cpu/forward.h"

namespace allometry::models::fused_cpu::ALLO_ISA {
namespace {

// The sequences that go through the network together.
struct Chunk {
  const int32_t* inputs;
  long sequences;
  long context;
  // Its targets that count, and their places in the chunk less `first_place`.
  const int32_t* targets;
  const int32_t* places;
  const float* weights;  // of the targets; nullptr: 1
  long first_place;
  long count;
  double* losses;

  long tokens() const { return sequences * context; }
};

// d_x = d_y W, or multiplied into d_x.
void ApplyBackward(const Linear& linear, const float* d_y, long y_stride, long tokens, float* d_x,
                   long x_stride, Into into) {
  Multiply({.a = d_y,
            .a_stride = y_stride,
            .transposed = false,
            .b = linear.backward,
            .b_stride = kLanes,
            .b_panel_stride = linear.out.used() * kLanes,
            .rows = tokens,
            .depth = linear.out.used(),
            .panels = linear.in.panels(),
            .half_panel = linear.in.half_panel(),
            .c = d_x,
            .c_stride = x_stride,
            .bias = nullptr,
            .into = into});
}

// weight_gradient += d_y^T x.
void AddWeightGradient(const Linear& linear, const float* d_y, long y_stride, const float* x,
                       long x_stride, long tokens) {
  Multiply({.a = d_y,
            .a_stride = y_stride,
            .transposed = true,
            .b = x,
            .b_stride = x_stride,
            .b_panel_stride = kLanes,
            .rows = linear.out.used(),
            .depth = tokens,
            .panels = linear.in.panels(),
            .half_panel = linear.in.half_panel(),
            .c = linear.weight_gradient,
            .c_stride = linear.in.padded(),
            .bias = nullptr,
            .into = Into::kAdd});
}

Head HeadOf(const Plan& plan, const Block& block, long context, long sequence, long head) {
  const BlockActivations& a = block.activations;
  const float* q = a.qkv + sequence * context * plan.qkv_stride + head * plan.head_pad;
  return {.context = context,
          .head_pad = plan.head_pad,
          .half_panel = PlainAxis(plan.head_width).half_panel(),
          .q = q,
          .k = q + plan.heads * plan.head_pad,
          .v = q + 2 * plan.heads * plan.head_pad,
          .qkv_stride = plan.qkv_stride,
          .probabilities =
              a.attention + (sequence * plan.heads + head) * plan.context * plan.attention_stride,
          .attention_stride = plan.attention_stride,
          .panels = plan.panels};
}

// Turns the queries and keys of all tokens in rows of qkv, or their gradients back.
template <bool kForward>
void RotateTokens(const Plan& plan, const Chunk& chunk, float* qkv) {
  for (long t = 0; t < chunk.tokens(); ++t) {
    Rotate<kForward>(plan, t % chunk.context, qkv + t * plan.qkv_stride);
  }
}

void Embed(const Plan& plan, const float* parameters, const Chunk& chunk) {
  for (long t = 0; t < chunk.tokens(); ++t) {
    EmbedToken(plan, parameters, chunk.inputs[t], t % chunk.context,
               plan.x + t * plan.width_stride);
  }
}

void BlockForward(const Plan& plan, const Block& block, const Chunk& chunk) {
  const BlockActivations& a = block.activations;
  const long tokens = chunk.tokens();
  Normalize(WidthRows(plan, plan.x, tokens), plan.width, plan.width_mask, a.normed_1,
            a.inverse_std_1);
  Apply(block.qkv, a.normed_1, plan.width_stride, tokens, a.qkv, plan.qkv_stride, Into::kSet);
  if (plan.is_rotary) RotateTokens<true>(plan, chunk, a.qkv);
  for (long sequence = 0; sequence < chunk.sequences; ++sequence) {
    for (long head = 0; head < plan.heads; ++head) {
      float* out = a.mixed + sequence * chunk.context * plan.mixed_stride + head * plan.head_pad;
      AttentionForward(HeadOf(plan, block, chunk.context, sequence, head), out, plan.mixed_stride);
    }
  }
  Apply(block.project, a.mixed, plan.mixed_stride, tokens, plan.x, plan.width_stride, Into::kAdd);
  MlpForward(plan, block, tokens);
}

// plan.d_x goes from the gradient of the block's output to that of its input.
void BlockBackward(const Plan& plan, const Block& block, const Chunk& chunk) {
  const BlockActivations& a = block.activations;
  const long tokens = chunk.tokens();
  const Rows d_x = WidthRows(plan, plan.d_x, tokens);
  const Rows d_normed = WidthRows(plan, plan.d_normed, tokens);

  AddColumnSums(d_x, block.down.bias_gradient);
  AddWeightGradient(block.down, plan.d_x, plan.width_stride, a.hidden, plan.hidden_stride, tokens);
  // The derivative of GELU becomes the gradient in front of it.
  float* d_hidden = a.gelu_derivative;
  ApplyBackward(block.down, plan.d_x, plan.width_stride, tokens, d_hidden, plan.hidden_stride,
                Into::kMultiply);
  AddColumnSums({d_hidden, plan.hidden_stride, tokens, block.up.out.padded()},
                block.up.bias_gradient);
  AddWeightGradient(block.up, d_hidden, plan.hidden_stride, a.normed_2, plan.width_stride, tokens);
  ApplyBackward(block.up, d_hidden, plan.hidden_stride, tokens, plan.d_normed, plan.width_stride,
                Into::kSet);
  NormalizeBackward(d_normed, plan.width, plan.width_mask, a.normed_2, a.inverse_std_2, plan.d_x,
                    false);

  AddColumnSums(d_x, block.project.bias_gradient);
  AddWeightGradient(block.project, plan.d_x, plan.width_stride, a.mixed, plan.mixed_stride, tokens);
  ApplyBackward(block.project, plan.d_x, plan.width_stride, tokens, plan.d_mixed, plan.mixed_stride,
                Into::kSet);
  for (long sequence = 0; sequence < chunk.sequences; ++sequence) {
    for (long head = 0; head < plan.heads; ++head) {
      const long row = sequence * chunk.context;
      float* d_q = plan.d_qkv + row * plan.qkv_stride + head * plan.head_pad;
      AttentionBackward(HeadOf(plan, block, chunk.context, sequence, head),
                        {.d_out = plan.d_mixed + row * plan.mixed_stride + head * plan.head_pad,
                         .out_stride = plan.mixed_stride,
                         .d_q = d_q,
                         .d_k = d_q + plan.heads * plan.head_pad,
                         .d_v = d_q + 2 * plan.heads * plan.head_pad,
                         .d_scores = plan.d_scores});
    }
  }
  if (plan.is_rotary) RotateTokens<false>(plan, chunk, plan.d_qkv);
  AddColumnSums({plan.d_qkv, plan.qkv_stride, tokens, block.qkv.out.padded()},
                block.qkv.bias_gradient);
  AddWeightGradient(block.qkv, plan.d_qkv, plan.qkv_stride, a.normed_1, plan.width_stride, tokens);
  ApplyBackward(block.qkv, plan.d_qkv, plan.qkv_stride, tokens, plan.d_normed, plan.width_stride,
                Into::kSet);
  NormalizeBackward(d_normed, plan.width, plan.width_mask, a.normed_1, a.inverse_std_1, plan.d_x,
                    false);
}

// The rows of the residual stream whose targets count, one after the other.
float* CountingRows(const Plan& plan, const Chunk& chunk) {
  if (chunk.count == chunk.tokens()) return plan.x;
  for (long i = 0; i < chunk.count; ++i) {
    const float* from = plan.x + (chunk.places[i] - chunk.first_place) * plan.width_stride;
    __builtin_memcpy(plan.d_normed + i * plan.width_stride, from,
                     sizeof(float) * PadToVector(plan.width));
  }
  return plan.d_normed;
}

// Cross-entropies; plan.logits becomes their gradient where one is wanted. There are logits only
// where a target counts.
void HeadForward(const Plan& plan, const Chunk& chunk, const StepArguments& arguments) {
  Normalize(WidthRows(plan, CountingRows(plan, chunk), chunk.count), plan.width, plan.width_mask,
            plan.normed, plan.inverse_std);
  Apply(plan.head, plan.normed, plan.width_stride, chunk.count, plan.logits, plan.logits_stride,
        Into::kSet);
  const Rows logits = {plan.logits, plan.logits_stride, chunk.count, plan.head.out.padded()};
  const Targets targets = {.ids = chunk.targets,
                           .classes = arguments.classes,
                           .weight = arguments.weight,
                           .with_gradient = arguments.gradient != nullptr,
                           .weights = chunk.weights};
  if (arguments.classes.of == nullptr) {
    CrossEntropy(logits, targets, chunk.losses);
  } else {
    ClassCrossEntropy(logits, targets, chunk.losses);
  }
}

// plan.d_x gets the gradient of the residual stream: zero where no target counts.
void HeadBackward(const Plan& plan, const Chunk& chunk) {
  AddColumnSums({plan.logits, plan.logits_stride, chunk.count, plan.head.out.padded()},
                plan.head.bias_gradient);
  AddWeightGradient(plan.head, plan.logits, plan.logits_stride, plan.normed, plan.width_stride,
                    chunk.count);
  ApplyBackward(plan.head, plan.logits, plan.logits_stride, chunk.count, plan.d_normed,
                plan.width_stride, Into::kSet);
  NormalizeBackward(WidthRows(plan, plan.d_normed, chunk.count), plan.width, plan.width_mask,
                    plan.normed, plan.inverse_std, plan.d_x, true);
  if (chunk.count == chunk.tokens()) return;
  // From the back, as no row moves forward.
  long left = chunk.count;
  for (long t = chunk.tokens() - 1; t >= 0; --t) {
    float* to = plan.d_x + t * plan.width_stride;
    const long bytes = static_cast<long>(sizeof(float)) * PadToVector(plan.width);
    if (left > 0 && chunk.places[left - 1] - chunk.first_place == t) {
      --left;
      if (left != t) __builtin_memcpy(to, plan.d_x + left * plan.width_stride, bytes);
    } else {
      __builtin_memset(to, 0, bytes);
    }
  }
}

void EmbedBackward(const Plan& plan, const Chunk& chunk, float* gradient) {
  for (long t = 0; t < chunk.tokens(); ++t) {
    float* token = gradient + plan.token_table_offset + chunk.inputs[t] * plan.width;
    const float* d_x = plan.d_x + t * plan.width_stride;
    for (long i = 0; i < plan.width; ++i) token[i] += d_x[i];
    for (int table = 0; table < plan.position_table_count; ++table) {
      float* position = gradient + PositionRow(plan, table, t % chunk.context);
      for (long i = 0; i < plan.width; ++i) position[i] += d_x[i];
    }
  }
}

}  // namespace

void Step(const Plan& plan, const StepArguments& arguments) {
  const bool train = arguments.gradient != nullptr;
  ForEachLinear(plan, [&](const Linear& linear) { PackWeights(linear, arguments.parameters); });
  if (train) __builtin_memset(plan.gradients, 0, sizeof(float) * plan.gradients_size);
  long counted = 0;
  for (long first = 0; first < arguments.sequences; first += plan.chunk_sequences) {
    const long left = arguments.sequences - first;
    Chunk chunk = {.inputs = arguments.inputs + first * arguments.context,
                   .sequences = left < plan.chunk_sequences ? left : plan.chunk_sequences,
                   .context = arguments.context,
                   .targets = arguments.targets + counted,
                   .places = arguments.places + counted,
                   .weights = arguments.weights == nullptr ? nullptr : arguments.weights + counted,
                   .first_place = first * arguments.context,
                   .count = 0,
                   .losses = arguments.losses + counted};
    while (counted < arguments.count &&
           arguments.places[counted] < chunk.first_place + chunk.tokens()) {
      ++counted;
      ++chunk.count;
    }
    if (chunk.count == 0) continue;
    Embed(plan, arguments.parameters, chunk);
    for (long layer = 0; layer < plan.layers; ++layer) {
      BlockForward(plan, plan.blocks[layer], chunk);
    }
    HeadForward(plan, chunk, arguments);
    if (!train) continue;
    HeadBackward(plan, chunk);
    for (long layer = plan.layers - 1; layer >= 0; --layer) {
      BlockBackward(plan, plan.blocks[layer], chunk);
    }
    EmbedBackward(plan, chunk, arguments.gradient);
  }
  if (train) {
    ForEachLinear(plan, [&](const Linear& linear) {
      AddGradients(linear, arguments.parameters, arguments.gradient);
    });
  }
}

}  // namespace allometry::models::fused_cpu::ALLO_ISA
