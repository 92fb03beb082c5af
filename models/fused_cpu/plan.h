// Where everything of a fused step lies: packed weights, their gradients, activations. Plain
// structs of sizes and pointers, shared by all instruction sets.
//
// Inside the step every row of a matrix is padded to whole vectors of 16 floats and every head
// starts at a vector; so no loop has a tail. Padding holds zeros or values that meet only zeros.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace allometry::models::fused_cpu {

// Also called from code compiled for newer instruction sets, so never to be shared by the linker.
#define ALLO_PLAN_INLINE __attribute__((always_inline))

constexpr long kVector = 16;
ALLO_PLAN_INLINE constexpr long PadToVector(long n) {
  return (n + kVector - 1) / kVector * kVector;
}

// Columns 0..size of a matrix as laid out inside the step: groups of `group` columns (one a head),
// each padded to `group_pad`.
struct Axis {
  long size = 0;
  long group = 0;
  long group_pad = 0;

  ALLO_PLAN_INLINE long position(long i) const { return i / group * group_pad + i % group; }
  ALLO_PLAN_INLINE long used() const {
    return position(size - 1) + 1;
  }  // one past the last column in use
  ALLO_PLAN_INLINE long padded() const { return size / group * group_pad; }
  // Whether the last panel has at most 8 columns in use.
  ALLO_PLAN_INLINE bool half_panel() const { return (used() - 1) % kVector < kVector / 2; }
  ALLO_PLAN_INLINE long panels() const { return padded() / kVector; }
};
ALLO_PLAN_INLINE constexpr Axis PlainAxis(long size) { return {size, size, PadToVector(size)}; }

// y[out] = W xhat + b, where xhat is the input or, behind a layer norm, the input normalised: the
// norm's gain and bias are then folded into `W diag(gain)` and `b + W bias`.
//
// A panel is 16 columns of a right-hand side, row after row, so that a product reads it in order.
struct Linear {
  Axis in, out;
  // Places in the flat parameter buffer; -1: absent.
  int64_t weight_offset = -1;  // [out.size, in.size]
  int64_t bias_offset = -1;
  int64_t gain_offset = -1;  // of the layer norm before; its bias follows at norm_bias_offset
  int64_t norm_bias_offset = -1;
  long scaled_rows = 0;  // the first rows of W and b are multiplied by row_scale: the queries
  float row_scale = 1;
  bool pads_outputs = false;  // padded outputs are computed too: they get their bias

  float* forward = nullptr;          // panels of W^T: out.panels() x [in.used()][16]
  float* backward = nullptr;         // panels of W: in.panels() x [out.used()][16]
  float* bias = nullptr;             // [out.padded()]
  float* weight_gradient = nullptr;  // [out.used()][in.padded()], of the folded weights
  float* bias_gradient = nullptr;    // [out.padded()]
};

// What the backward pass needs of one block, for the tokens of one chunk.
struct BlockActivations {
  float* normed_1 = nullptr;         // [tokens][width]
  float* inverse_std_1 = nullptr;    // [tokens]
  float* qkv = nullptr;              // [tokens][qkv]
  float* attention = nullptr;        // [sequences][heads][context][attention]: probabilities
  float* mixed = nullptr;            // [tokens][mixed]: the heads' outputs
  float* normed_2 = nullptr;         // [tokens][width]
  float* inverse_std_2 = nullptr;    // [tokens]
  float* hidden = nullptr;           // [tokens][hidden]: after GELU
  float* gelu_derivative = nullptr;  // [tokens][hidden]; then the gradient before GELU
};

struct Block {
  Linear qkv, project, up, down;
  BlockActivations activations;
};

struct Plan {
  long layers = 0, heads = 0, width = 0, context = 0, vocabulary = 0;
  long head_width = 0, head_pad = 0;
  long chunk_sequences = 0;  // that go through the network together

  // Distances between rows, in floats.
  long width_stride = 0, qkv_stride = 0, mixed_stride = 0, hidden_stride = 0, logits_stride = 0;
  long attention_stride = 0;

  int64_t token_table_offset = 0;
  // The learned tables of positions (models/positions.h): a row of each is added to a token.
  struct PositionTable {
    int64_t offset = 0;
    long rows = 0;
    long tokens_per_row = 1;
  };
  static constexpr int kMostPositionTables = 2;
  PositionTable position_tables[kMostPositionTables];
  int position_table_count = 0;

  Block* blocks = nullptr;
  Linear head;                  // the token table's transpose behind the final norm
  float* width_mask = nullptr;  // [padded width]: 1 for columns in use, 0 for padding

  // Scratch of a chunk.
  float* x = nullptr;       // [tokens][width]: the residual stream
  float* normed = nullptr;  // [tokens][width]: after the final norm
  float* inverse_std = nullptr;
  float* logits = nullptr;    // [tokens][logits]: then their gradient
  float* d_x = nullptr;       // [tokens][width]
  float* d_normed = nullptr;  // [tokens][width]
  float* d_mixed = nullptr;   // [tokens][mixed]
  float* d_qkv = nullptr;     // [tokens][qkv]
  float* d_scores = nullptr;  // [context][attention]
  float* panels = nullptr;    // [context / 16][head][16]: one head's keys or values, transposed
  bool is_rotary = false;
  // Rotary positions, [context][head_pad] each: of the values 2i and 2i + 1 the cosine, and the
  // sine with a minus for 2i. nullptr where positions are not rotary.
  float* cosine = nullptr;
  float* signed_sine = nullptr;
  float* class_masks = nullptr;  // [2][padded vocabulary]: filled by the caller (Classes)

  // The gradients of all Linears lie side by side.
  float* gradients = nullptr;
  long gradients_size = 0;
};

// Classes of ids, where the loss is that of the target's class.
struct Classes {
  const uint8_t* of = nullptr;   // 0 or 1, of each id; nullptr: the loss is that of the target
  const float* masks = nullptr;  // [2][padded vocabulary]: 1 for the ids of class 0, of class 1
};

struct StepArguments {
  const float* parameters = nullptr;
  float* gradient = nullptr;  // nullptr: the loss alone
  const int32_t* inputs = nullptr;
  // The targets that count, and their places in the batch, ascending.
  const int32_t* targets = nullptr;
  const int32_t* places = nullptr;
  long count = 0;
  // Of each target its weight, which `weight` multiplies; nullptr: 1.
  const float* weights = nullptr;
  Classes classes;
  long sequences = 0;
  long context = 0;          // at most the plan's
  float weight = 0;          // of one target's cross-entropy in the gradient
  double* losses = nullptr;  // [count]
};

// One an instruction set (fused_cpu/step.h): the targets' cross-entropies, and the gradient.
using StepFunction = void (*)(const Plan& plan, const StepArguments& arguments);

}  // namespace allometry::models::fused_cpu
