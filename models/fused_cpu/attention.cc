#include "models/fused_cpu/attention.h"

#include "models/fused_cpu/product.h"
#include "models/fused_cpu/vector.h"

namespace allometry::models::fused_cpu::ALLO_ISA {
namespace {

long Smaller(long a, long b) { return a < b ? a : b; }
long Panels(long columns) { return (columns + kLanes - 1) / kLanes; }

// One round of a transpose by halves: exchanges the lanes of each row whose index has bit
// `kDistance` with those of the row `kDistance` further on that have not.
template <int kDistance, int... kLane>
ALLO_INLINE void Exchange(Piece* rows, Lanes<kLane...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kPieceLanes; ++i) {
    if (i & kDistance) continue;
    const Piece a = rows[i], b = rows[i + kDistance];
    rows[i] = __builtin_shufflevector(
        a, b, (kLane & kDistance ? kLane - kDistance + kPieceLanes : kLane)...);
    rows[i + kDistance] = __builtin_shufflevector(
        a, b, (kLane & kDistance ? kLane + kPieceLanes : kLane + kDistance)...);
  }
}

// All rounds.
template <int kDistance = kPieceLanes / 2>
ALLO_INLINE void Transpose(Piece* rows) {
  Exchange<kDistance>(rows, EachLane());
  if constexpr (kDistance > 1) Transpose<kDistance / 2>(rows);
}

// panels[p][j][lane] = rows[16 p + lane][j], 0 past the last row.
void TransposeToPanels(const float* rows, long stride, long count, long columns, float* panels) {
  for (long first = 0; first < count; first += kLanes) {
    for (long j = 0; j < columns; j += kPieceLanes, panels += kPieceLanes * kLanes) {
#pragma GCC unroll 4
      for (int lane = 0; lane < kLanes; lane += kPieceLanes) {
        Piece block[kPieceLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kPieceLanes; ++i) {
          const long row = first + lane + i;
          block[i] = row < count ? LoadAs<Piece>(rows + row * stride + j) : Piece{};
        }
        Transpose(block);
#pragma GCC unroll 16
        for (int i = 0; i < kPieceLanes; ++i) Store(panels + i * kLanes + lane, block[i]);
      }
    }
  }
}

// Row `row` of scores becomes probabilities: columns 0..row, zero from there to `panels`.
void CausalSoftmax(float* scores, long row, long panels) {
  const long whole = row / kLanes;  // panels before it have no column beyond the row
  const IntVec last =
      LaneIndex<IntVec>() - static_cast<int>(row - whole * kLanes);  // > 0: beyond the row
  const Vec edge = WherePositive(last, Broadcast(-1e30f), Load(scores + whole * kLanes));
  Vec largest = edge;
  for (long p = 0; p < whole; ++p) largest = Max(largest, Load(scores + p * kLanes));
  const float top = MaxLane(largest);
  const Vec edge_weight = WherePositive(last, Vec{}, ExpOfNegative(edge - top));
  Vec sum = edge_weight;
  for (long p = 0; p < whole; ++p) {
    const Vec e = ExpOfNegative(Load(scores + p * kLanes) - top);
    Store(scores + p * kLanes, e);
    sum += e;
  }
  const float scale = 1.0f / Sum(sum);
  for (long p = 0; p < whole; ++p) {
    Store(scores + p * kLanes, Load(scores + p * kLanes) * scale);
  }
  Store(scores + whole * kLanes, edge_weight * scale);
  for (long p = whole + 1; p < panels; ++p) Store(scores + p * kLanes, Vec{});
}

// d_scores = P (dP - sum(P dP)), where d_scores holds dP.
void SoftmaxBackward(const float* probabilities, float* d_scores, long panels) {
  Vec dot{};
  for (long i = 0; i < panels * kLanes; i += kLanes) {
    dot += Load(probabilities + i) * Load(d_scores + i);
  }
  const float sum = Sum(dot);
  for (long i = 0; i < panels * kLanes; i += kLanes) {
    Store(d_scores + i, Load(probabilities + i) * (Load(d_scores + i) - sum));
  }
}

// One tile of query rows times the packed panels of keys (or values) that it may see.
void TileTimesPanels(const Head& head, const float* left, long left_stride, long first, long rows,
                     float* out) {
  Multiply({.a = left + first * left_stride,
            .a_stride = left_stride,
            .transposed = false,
            .b = head.panels,
            .b_stride = kLanes,
            .b_panel_stride = head.head_pad * kLanes,
            .rows = rows,
            .depth = head.head_pad,
            .panels = Panels(first + rows),
            .half_panel = false,
            .c = out + first * head.attention_stride,
            .c_stride = head.attention_stride,
            .bias = nullptr,
            .into = Into::kSet});
}

// One tile of query rows of a square (probabilities, score gradients) times the rows of `right`
// that it may see.
void TileTimesRows(const Head& head, const float* square, const float* right, long first, long rows,
                   float* out, long out_stride) {
  Multiply({.a = square + first * head.attention_stride,
            .a_stride = head.attention_stride,
            .transposed = false,
            .b = right,
            .b_stride = head.qkv_stride,
            .b_panel_stride = kLanes,
            .rows = rows,
            .depth = first + rows,
            .panels = head.head_pad / kLanes,
            .half_panel = head.half_panel,
            .c = out + first * out_stride,
            .c_stride = out_stride,
            .bias = nullptr,
            .into = Into::kSet});
}

// One tile of key rows: the square's columns, over the queries from them on, times `right`.
void ColumnsTimesRows(const Head& head, const float* square, const float* right, long right_stride,
                      long first, long rows, float* out) {
  Multiply({.a = square + first * head.attention_stride + first,
            .a_stride = head.attention_stride,
            .transposed = true,
            .b = right + first * right_stride,
            .b_stride = right_stride,
            .b_panel_stride = kLanes,
            .rows = rows,
            .depth = head.context - first,
            .panels = head.head_pad / kLanes,
            .half_panel = head.half_panel,
            .c = out + first * head.qkv_stride,
            .c_stride = head.qkv_stride,
            .bias = nullptr,
            .into = Into::kSet});
}

}  // namespace

void AttentionForward(const Head& head, float* out, long out_stride) {
  TransposeToPanels(head.k, head.qkv_stride, head.context, head.head_pad, head.panels);
  for (long first = 0; first < head.context; first += kRowsPerTile) {
    const long rows = Smaller(kRowsPerTile, head.context - first);
    TileTimesPanels(head, head.q, head.qkv_stride, first, rows, head.probabilities);
    for (long row = first; row < first + rows; ++row) {
      CausalSoftmax(head.probabilities + row * head.attention_stride, row, Panels(first + rows));
    }
    TileTimesRows(head, head.probabilities, head.v, first, rows, out, out_stride);
  }
}

void AttentionOfOne(const OneQuery& query, float* out) {
  const long panels = query.position / kLanes + 1;
  for (long p = 0; p < panels; ++p) {
    const float* keys = query.keys + p * query.head_pad * kLanes;
    // Four sums, so that none waits for the one before.
    Vec sums[4] = {};
    for (long i = 0; i < query.head_pad; i += 4) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sums[j] += Load(keys + (i + j) * kLanes) * query.q[i + j];
    }
    Store(query.scores + p * kLanes, (sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
  CausalSoftmax(query.scores, query.position, panels);
  const long seen = query.position + 1;
  for (long i = 0; i < query.head_pad; i += kLanes) {
    Vec sums[4] = {};
    const float* values = query.values + i;
    long t = 0;
    for (; t + 4 <= seen; t += 4) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        sums[j] += Load(values + (t + j) * query.head_pad) * query.scores[t + j];
      }
    }
    for (; t < seen; ++t) sums[0] += Load(values + t * query.head_pad) * query.scores[t];
    Store(out + i, (sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
}

void AttentionBackward(const Head& head, const HeadGradients& gradients) {
  TransposeToPanels(head.v, head.qkv_stride, head.context, head.head_pad, head.panels);
  for (long first = 0; first < head.context; first += kRowsPerTile) {
    const long rows = Smaller(kRowsPerTile, head.context - first);
    TileTimesPanels(head, gradients.d_out, gradients.out_stride, first, rows, gradients.d_scores);
    for (long row = first; row < first + rows; ++row) {
      const long at = row * head.attention_stride;
      SoftmaxBackward(head.probabilities + at, gradients.d_scores + at, Panels(first + rows));
    }
    TileTimesRows(head, gradients.d_scores, head.k, first, rows, gradients.d_q, head.qkv_stride);
  }
  for (long first = 0; first < head.context; first += kRowsPerTile) {
    const long rows = Smaller(kRowsPerTile, head.context - first);
    ColumnsTimesRows(head, gradients.d_scores, head.q, head.qkv_stride, first, rows, gradients.d_k);
    ColumnsTimesRows(head, head.probabilities, gradients.d_out, gradients.out_stride, first, rows,
                     gradients.d_v);
  }
}

}  // namespace allometry::models::fused_cpu::ALLO_ISA
