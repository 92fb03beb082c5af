#include "models/twm/transformer_xl.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/relu.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "models/twm/layout.h"

namespace allometry::models::twm {
namespace {

constexpr double kLayerNormEpsilon = 1e-5;

// [.., n, m] with the scores of distances m - 1, .., 0 -> [.., n, m] by key: query i, the
// (m - n + i)-th token, has the key j at distance m - n + i - j, so row i moves left by n - 1 - i.
// What moves in from the row below belongs to keys that are later than the query.
at::Tensor ByKey(const at::Tensor& by_distance) {
  const int64_t rows = by_distance.size(0), heads = by_distance.size(1), n = by_distance.size(2),
                m = by_distance.size(3);
  return at::constant_pad_nd(by_distance, {1, 0})
      .view({rows, heads, m + 1, n})
      .narrow(2, 1, m)
      .reshape({rows, heads, n, m});
}

at::Tensor Dropped(const TransformerXlOptions& options, const at::Tensor& x) {
  if (options.dropout <= 0 || !options.generator.has_value()) return x;
  const double kept = 1 - options.dropout;
  return x * at::empty_like(x.detach()).bernoulli_(kept, options.generator) / kept;
}

at::Tensor Attend(const TransformerXlOptions& options, Cursor& cursor, const at::Tensor& x,
                  const at::Tensor& earlier, const at::Tensor& allowed) {
  const at::Tensor& qkv_weight = cursor.Next();
  const at::Tensor& position_weight = cursor.Next();
  const at::Tensor& u = cursor.Next();
  const at::Tensor& v_bias = cursor.Next();
  const at::Tensor& out_weight = cursor.Next();
  const at::Tensor all = earlier.defined() ? at::cat({earlier, x}, 1) : x;
  const int64_t rows = all.size(0), m = all.size(1), width = all.size(2), n = x.size(1);
  const int64_t c = width / options.heads;
  const auto heads = [&](const at::Tensor& of, int64_t part) {
    return of.narrow(2, part * width, width).reshape({rows, m, options.heads, c}).transpose(1, 2);
  };
  const at::Tensor qkv = at::linear(all, qkv_weight);
  const at::Tensor r = at::linear(DistanceCodes(m, width, x.scalar_type()), position_weight)
                           .view({m, options.heads, c})
                           .transpose(0, 1);
  const at::Tensor mixed =
      RelativeAttention(heads(qkv, 0).narrow(2, m - n, n), heads(qkv, 1), heads(qkv, 2), r,
                        u.view({options.heads, c}), v_bias.view({options.heads, c}), allowed);
  return at::linear(mixed.transpose(1, 2).reshape({rows, n, width}), out_weight);
}

at::Tensor Norm(Cursor& cursor, const at::Tensor& x) {
  const at::Tensor& gain = cursor.Next();
  return at::layer_norm(x, {x.size(2)}, gain, cursor.Next(), kLayerNormEpsilon);
}

at::Tensor Newest(const at::Tensor& all, int64_t keep) {
  const int64_t kept = std::min(keep, all.size(1));
  return all.narrow(1, all.size(1) - kept, kept);
}

}  // namespace

at::Tensor DistanceCodes(int64_t count, int64_t width, at::ScalarType type) {
  const at::TensorOptions options = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor distances = at::arange(count - 1, -1, -1, options);
  const at::Tensor rates =
      (at::arange(0, width, 2, options) * (-std::log(10000.0) / static_cast<double>(width))).exp();
  const at::Tensor angles = at::outer(distances, rates);
  return at::cat({angles.sin(), angles.cos()}, 1).to(type);
}

at::Tensor RelativeAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const at::Tensor& r, const at::Tensor& u, const at::Tensor& v_bias,
                             const at::Tensor& allowed) {
  const int64_t n = q.size(2), m = k.size(2);
  ALLO_CHECK(n <= m && r.size(1) == m) << n << " of " << m;
  const at::Tensor content = at::matmul(q + u.unsqueeze(1), k.transpose(2, 3));
  const at::Tensor position = ByKey(at::matmul(q + v_bias.unsqueeze(1), r.transpose(1, 2)));
  const at::Tensor causal =
      at::ones({n, m}, at::TensorOptions().dtype(at::kBool)).tril(/*diagonal=*/m - n);
  const at::Tensor scores = (content + position) / std::sqrt(static_cast<double>(q.size(3)));
  return at::matmul(scores
                        .masked_fill((allowed & causal).unsqueeze(1).logical_not(),
                                     -std::numeric_limits<double>::infinity())
                        .softmax(3),
                    v);
}

at::Tensor RunTransformerXl(const TransformerXlOptions& options,
                            std::span<const at::Tensor> tensors, at::Tensor x,
                            const at::Tensor& episodes, Memory* memory, int64_t keep) {
  const bool remembers = memory != nullptr && !memory->inputs.empty();
  const at::Tensor all_episodes = remembers ? at::cat({memory->episodes, episodes}, 1) : episodes;
  const at::Tensor allowed = episodes.unsqueeze(2) == all_episodes.unsqueeze(1);
  Cursor cursor(tensors);
  Memory kept;
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    const at::Tensor earlier =
        remembers ? memory->inputs[static_cast<size_t>(layer)] : at::Tensor();
    if (memory != nullptr) {
      const at::Tensor input = x.detach();
      kept.inputs.push_back(Newest(remembers ? at::cat({earlier, input}, 1) : input, keep));
    }
    const at::Tensor attended = Attend(options, cursor, x, earlier, allowed);
    x = Norm(cursor, x + Dropped(options, attended));
    const at::Tensor& up = cursor.Next();
    at::Tensor wide = at::relu(at::linear(x, up, cursor.Next()));
    const at::Tensor& down = cursor.Next();
    wide = at::linear(Dropped(options, wide), down, cursor.Next());
    x = Norm(cursor, x + Dropped(options, wide));
  }
  if (memory != nullptr) {
    kept.episodes = Newest(all_episodes, keep);
    *memory = std::move(kept);
  }
  return x;
}

}  // namespace allometry::models::twm
