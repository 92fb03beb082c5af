#include "models/fused_cpu/product.h"

#include "models/fused_cpu/vector.h"

namespace allometry::models::fused_cpu::ALLO_ISA {
namespace {

// Accumulators fill the registers and leave a few for B: 24 of 32 (512 bits), 12 of 16 (256 bits,
// two a Vec), 12 of 16 (128 bits, four a Vec).
#if defined(__AVX512F__)
constexpr int kRows = 8;
constexpr int kPanels = 3;
#elif defined(__AVX2__)
constexpr int kRows = 6;
constexpr int kPanels = 1;
#else
constexpr int kRows = 3;
constexpr int kPanels = 1;
#endif

template <int kTileRows, int kTilePanels, bool kTransposed>
ALLO_INLINE void Tile(const Product& p, long row, long panel) {
  Vec sum[kTileRows][kTilePanels];
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kTilePanels; ++j) {
      sum[i][j] = p.bias != nullptr ? Load(p.bias + (panel + j) * kLanes) : Vec{};
    }
  }
  const long a_stride = p.a_stride, b_stride = p.b_stride, b_panel_stride = p.b_panel_stride;
  const float* a = p.a + (kTransposed ? row : row * a_stride);
  const float* b = p.b + panel * b_panel_stride;
  for (long k = 0; k < p.depth; ++k) {
    Vec right[kTilePanels];
#pragma GCC unroll 4
    for (int j = 0; j < kTilePanels; ++j) right[j] = Load(b + j * b_panel_stride);
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) {
      const float left = kTransposed ? a[i] : a[i * a_stride];
#pragma GCC unroll 4
      for (int j = 0; j < kTilePanels; ++j) sum[i][j] += left * right[j];
    }
    a += kTransposed ? a_stride : 1;
    b += b_stride;
  }
  float* c = p.c + row * p.c_stride + panel * kLanes;
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kTilePanels; ++j) {
      float* at = c + i * p.c_stride + j * kLanes;
      Store(at, p.accumulate ? Load(at) + sum[i][j] : sum[i][j]);
    }
  }
}

// The last rows, fewer than a tile.
template <int kTileRows, int kTilePanels, bool kTransposed>
void LastRows(const Product& p, long row, long panel) {
  if constexpr (kTileRows > 0) {
    if (p.rows - row == kTileRows) {
      Tile<kTileRows, kTilePanels, kTransposed>(p, row, panel);
    } else {
      LastRows<kTileRows - 1, kTilePanels, kTransposed>(p, row, panel);
    }
  }
}

template <int kTilePanels, bool kTransposed>
void Columns(const Product& p, long panel) {
  long row = 0;
  for (; row + kRows <= p.rows; row += kRows) Tile<kRows, kTilePanels, kTransposed>(p, row, panel);
  LastRows<kRows - 1, kTilePanels, kTransposed>(p, row, panel);
}

template <bool kTransposed>
void AllColumns(const Product& p) {
  long panel = 0;
  while (panel < p.panels) {
    const long left = p.panels - panel;
    if constexpr (kPanels == 3) {
      // 4 as 2 + 2: two even tiles keep more sums in flight than 3 + 1.
      if (left == 3 || left >= 5) {
        Columns<3, kTransposed>(p, panel);
        panel += 3;
        continue;
      }
      if (left >= 2) {
        Columns<2, kTransposed>(p, panel);
        panel += 2;
        continue;
      }
    }
    Columns<1, kTransposed>(p, panel);
    panel += 1;
  }
}

}  // namespace

const long kRowsPerTile = kRows;

void Multiply(const Product& product) {
  if (product.transposed) {
    AllColumns<true>(product);
  } else {
    AllColumns<false>(product);
  }
}

}  // namespace allometry::models::fused_cpu::ALLO_ISA
