// Transformer-XL (Dai et al. 2019): causal attention with relative positions, and a memory of
// earlier inputs.
//
//   score(i, j) = [(q_i + u) k_j + (q_i + v) (W R_{i-j})] / sqrt(c),   j <= i, of the same episode
//
// R_d is the sinusoidal code of a distance, u and v are learned, c is a head's width. A layer is
// norm(x + attention(x)), then norm(x + down(relu(up(x)))): the norms stand behind, as published.
//
// A token has the number of its episode; attention never leaves the episode of the query, in the
// memory neither. Tokens of one row have numbers that do not fall.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace allometry::models::twm {

// What attention sees of one layer. q [rows, heads, n, c]; k, v [rows, heads, m, c], the last n of
// them at the queries' places; r = W R_d for the distances d = m - 1, .., 0, [heads, m, c]; biases
// u and v [heads, c]; allowed [rows, n, m], true where the episode is the same. [rows, heads, n,
// c].
at::Tensor RelativeAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const at::Tensor& r, const at::Tensor& u, const at::Tensor& v_bias,
                             const at::Tensor& allowed);

// R_d for the distances count - 1, .., 0: [count, width], sines and then cosines of
// d / 10000^(2 i / width).
at::Tensor DistanceCodes(int64_t count, int64_t width, at::ScalarType type);

// Inputs of the layers of earlier tokens, without a gradient; empty at first.
struct Memory {
  std::vector<at::Tensor> inputs;  // one a layer, [rows, tokens, width]
  at::Tensor episodes;             // [rows, tokens], int64
};

inline constexpr size_t kLayerTensors = 13;  // of DynamicsLayout, a layer

struct TransformerXlOptions {
  int64_t layers = 0;
  int64_t heads = 0;
  double dropout = 0;
  // Draws the dropout's masks; unset: none.
  std::optional<at::Generator> generator = std::nullopt;
};

// x [rows, n, width], episodes [rows, n]: the last layer's outputs [rows, n, width]. Where `memory`
// is not null it is attended to, and then holds the newest `keep` tokens.
at::Tensor RunTransformerXl(const TransformerXlOptions& options,
                            std::span<const at::Tensor> tensors, at::Tensor x,
                            const at::Tensor& episodes, Memory* memory, int64_t keep);

}  // namespace allometry::models::twm
