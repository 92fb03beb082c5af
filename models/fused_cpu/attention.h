// Causal attention of one head over one sequence, forward and backward, on the half that counts:
// a tile of query rows sees only the panels of keys up to its last row.
//
// (Vaswani et al. 2017.) Queries arrive scaled by 1 / sqrt(head width): the scale is in the packed
// weights.
#pragma once

namespace allometry::models::fused_cpu::ALLO_ISA {

struct Head {
  long context;     // of this sequence
  long head_pad;    // columns of a head, whole vectors
  bool half_panel;  // of the last vector at most 8 columns are in use
  const float* q;   // [context][head_pad] at distance qkv_stride; so are k and v
  const float* k;
  const float* v;
  long qkv_stride;
  float* probabilities;  // [context][attention_stride]
  long attention_stride;
  float* panels;  // scratch: [context / 16, rounded up][head_pad][16]
};

// probabilities = softmax(q k^T) over keys up to the query, 0 beyond as far as they are read;
// out [context][head_pad] = probabilities v.
void AttentionForward(const Head& head, float* out, long out_stride);

// One query of one head, over the keys and values of its row so far (decode.h).
struct OneQuery {
  const float* q;       // [head_pad], scaled
  const float* keys;    // [positions / 16, rounded up][head_pad][16]
  const float* values;  // [positions][head_pad]
  long head_pad;
  long position;  // it sees the keys 0..position
  float* scores;  // scratch: whole vectors of positions
};

// out[head_pad] = softmax(q k^T) v.
void AttentionOfOne(const OneQuery& query, float* out);

struct HeadGradients {
  const float* d_out;  // [context][head_pad] at distance out_stride
  long out_stride;
  float* d_q;  // [context][head_pad] at distance qkv_stride; so are d_k and d_v
  float* d_k;
  float* d_v;
  float* d_scores;  // scratch: [context][attention_stride]
};
void AttentionBackward(const Head& head, const HeadGradients& gradients);

}  // namespace allometry::models::fused_cpu::ALLO_ISA
