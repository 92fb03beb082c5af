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

// Of a tile: whole panels, and a half one after them where kHalf is 1.
template <int kTileRows, int kWhole, int kHalf>
struct Sums {
  Vec whole[kTileRows][kWhole > 0 ? kWhole : 1];
  HalfVec half[kTileRows][1];
};

template <int kTileRows, int kWhole, int kHalf, class Combine>
ALLO_INLINE void Write(const Sums<kTileRows, kWhole, kHalf>& sums, float* c, long stride,
                       Combine combine) {
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; ++i) {
    float* at = c + i * stride;
#pragma GCC unroll 4
    for (int j = 0; j < kWhole; ++j, at += kLanes) {
      Store(at, combine(sums.whole[i][j], Load(at)));
    }
    if constexpr (kHalf == 1) Store(at, combine(sums.half[i][0], LoadHalf(at)));
  }
}

template <int kTileRows, int kWhole, int kHalf, bool kTransposed>
ALLO_INLINE void Tile(const Product& p, long row, long panel) {
  Sums<kTileRows, kWhole, kHalf> sums;
  const float* bias = p.bias + panel * kLanes;
#pragma GCC unroll 4
  for (int j = 0; j < kWhole; ++j) {
    const Vec first = p.bias != nullptr ? Load(bias + j * kLanes) : Vec{};
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) sums.whole[i][j] = first;
  }
  if constexpr (kHalf == 1) {
    const HalfVec first = p.bias != nullptr ? LoadHalf(bias + kWhole * kLanes) : HalfVec{};
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) sums.half[i][0] = first;
  }
  const long a_stride = p.a_stride, b_stride = p.b_stride, b_panel_stride = p.b_panel_stride;
  const float* a = p.a + (kTransposed ? row : row * a_stride);
  const float* b = p.b + panel * b_panel_stride;
  for (long k = p.depth; k > 0; --k) {
    Vec right[kWhole > 0 ? kWhole : 1];
#pragma GCC unroll 4
    for (int j = 0; j < kWhole; ++j) right[j] = Load(b + j * b_panel_stride);
    HalfVec right_half{};
    if constexpr (kHalf == 1) right_half = LoadHalf(b + kWhole * b_panel_stride);
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) {
      const float left = kTransposed ? a[i] : a[i * a_stride];
#pragma GCC unroll 4
      for (int j = 0; j < kWhole; ++j) sums.whole[i][j] += left * right[j];
      if constexpr (kHalf == 1) sums.half[i][0] += left * right_half;
    }
    a += kTransposed ? a_stride : 1;
    b += b_stride;
  }
  const long c_stride = p.c_stride;
  float* c = p.c + row * c_stride + panel * kLanes;
  if (p.into == Into::kSet) {
    Write(sums, c, c_stride, [](auto sum, auto) { return sum; });
  } else if (p.into == Into::kAdd) {
    Write(sums, c, c_stride, [](auto sum, auto old) { return old + sum; });
  } else {
    Write(sums, c, c_stride, [](auto sum, auto old) { return old * sum; });
  }
}

// Rows that are left when no whole tile fits, in powers of two.
template <int kTileRows, int kWhole, int kHalf, bool kTransposed>
ALLO_INLINE void LastRows(const Product& p, long row, long panel) {
  if constexpr (kTileRows > 0) {
    if (p.rows - row >= kTileRows) {
      Tile<kTileRows, kWhole, kHalf, kTransposed>(p, row, panel);
      row += kTileRows;
    }
    LastRows<kTileRows / 2, kWhole, kHalf, kTransposed>(p, row, panel);
  }
}

template <int kWhole, int kHalf, bool kTransposed>
void Columns(const Product& p, long panel) {
  constexpr int kRemainder = kRows > 4 ? 4 : 2;  // the largest power of two below a tile
  long row = 0;
  for (; row + kRows <= p.rows; row += kRows) {
    Tile<kRows, kWhole, kHalf, kTransposed>(p, row, panel);
  }
  LastRows<kRemainder, kWhole, kHalf, kTransposed>(p, row, panel);
}

// Wide tiles first; the last one is not narrower than it must be, for narrow ones keep fewer sums
// in flight.
template <bool kTransposed>
void AllColumns(const Product& p) {
  const long whole = p.panels - (p.half_panel ? 1 : 0);
  long panel = 0;
  if constexpr (kPanels == 3) {
    for (; whole - panel >= 5; panel += 3) Columns<3, 0, kTransposed>(p, panel);
    switch (whole - panel) {
      case 4:
        Columns<2, 0, kTransposed>(p, panel);
        panel += 2;
        [[fallthrough]];
      case 2:
        if (p.half_panel) return Columns<2, 1, kTransposed>(p, panel);
        return Columns<2, 0, kTransposed>(p, panel);
      case 3:
        if (!p.half_panel) return Columns<3, 0, kTransposed>(p, panel);
        Columns<2, 0, kTransposed>(p, panel);
        return Columns<1, 1, kTransposed>(p, panel + 2);
      case 1:
        if (p.half_panel) return Columns<1, 1, kTransposed>(p, panel);
        return Columns<1, 0, kTransposed>(p, panel);
      default:
        break;
    }
  }
  for (; panel < whole; ++panel) Columns<1, 0, kTransposed>(p, panel);
  if (p.half_panel) Columns<0, 1, kTransposed>(p, panel);
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
