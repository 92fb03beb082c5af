// Sixteen floats at a time, in GCC's vector extension, and the functions of them that a training
// step needs. The same source serves every instruction set.
//
// Everything here is inlined and lives in a namespace named after the instruction set (ALLO_ISA, a
// definition of the compile command). No header of the C++ library is included by the kernels: an
// inline function of its compiled for AVX-512 could be the one that the linker keeps.
#pragma once

#include <stdint.h>

#define ALLO_INLINE static inline __attribute__((always_inline))

namespace allometry::models::fused_cpu::ALLO_ISA {

constexpr int kLanes = 16;

// A Piece is one register of the machine; what is wider is a Pair of halves. (One vector type of 64
// bytes would compile for every instruction set, but GCC 12 keeps it in memory where registers are
// narrower: seven times slower with AVX2.)
template <class Half>
struct Pair {
  Half low, high;
};
template <class Half>
Pair(Half, Half) -> Pair<Half>;

// The indices of lanes, for shuffles.
template <int... kLane>
struct Lanes {};

#if defined(__AVX512F__)
typedef float Piece __attribute__((vector_size(64)));
typedef int32_t IntPiece __attribute__((vector_size(64)));
typedef float HalfVec __attribute__((vector_size(32)));
using Vec = Piece;
using IntVec = IntPiece;
using EachLane = Lanes<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>;
#elif defined(__AVX2__)
typedef float Piece __attribute__((vector_size(32)));
typedef int32_t IntPiece __attribute__((vector_size(32)));
using HalfVec = Piece;
using Vec = Pair<Piece>;
using IntVec = Pair<IntPiece>;
using EachLane = Lanes<0, 1, 2, 3, 4, 5, 6, 7>;
#else
typedef float Piece __attribute__((vector_size(16)));
typedef int32_t IntPiece __attribute__((vector_size(16)));
using HalfVec = Pair<Piece>;
using Vec = Pair<HalfVec>;
using IntVec = Pair<Pair<IntPiece>>;
using EachLane = Lanes<0, 1, 2, 3>;
#endif
constexpr int kPieceLanes = sizeof(Piece) / sizeof(float);
static_assert(sizeof(Vec) == kLanes * sizeof(float) && sizeof(IntVec) == sizeof(Vec));

template <class V>
constexpr bool kIsPair = false;
template <class Half>
constexpr bool kIsPair<Pair<Half>> = true;

// Lane by lane, with a vector or a number on either side.
#define ALLO_ON_PAIRS(op)                                          \
  template <class Half>                                            \
  ALLO_INLINE Pair<Half> operator op(Pair<Half> a, Pair<Half> b) { \
    return {a.low op b.low, a.high op b.high};                     \
  }                                                                \
  template <class Half, class Number>                              \
  ALLO_INLINE Pair<Half> operator op(Pair<Half> a, Number b) {     \
    return {a.low op b, a.high op b};                              \
  }                                                                \
  template <class Half, class Number>                              \
  ALLO_INLINE Pair<Half> operator op(Number a, Pair<Half> b) {     \
    return {a op b.low, a op b.high};                              \
  }
ALLO_ON_PAIRS(+)
ALLO_ON_PAIRS(-)
ALLO_ON_PAIRS(*)
ALLO_ON_PAIRS(/)
ALLO_ON_PAIRS(<<)
#undef ALLO_ON_PAIRS

template <class Half>
ALLO_INLINE Pair<Half> operator-(Pair<Half> a) {
  return {-a.low, -a.high};
}
template <class Half>
ALLO_INLINE void operator+=(Pair<Half>& a, Pair<Half> b) {
  a.low += b.low;
  a.high += b.high;
}

// Buffers of the plan are aligned to 64 bytes and their rows to whole vectors.
template <class V>
ALLO_INLINE V LoadAs(const float* p) {
  if constexpr (kIsPair<V>) {
    using Half = decltype(V::low);
    return {LoadAs<Half>(p), LoadAs<Half>(p + sizeof(Half) / sizeof(float))};
  } else {
    typedef V MayAlias __attribute__((may_alias));
    return *reinterpret_cast<const MayAlias*>(p);
  }
}
ALLO_INLINE Vec Load(const float* p) { return LoadAs<Vec>(p); }
ALLO_INLINE HalfVec LoadHalf(const float* p) { return LoadAs<HalfVec>(p); }

template <class V>
ALLO_INLINE void Store(float* p, V v) {
  if constexpr (kIsPair<V>) {
    Store(p, v.low);
    Store(p + sizeof(v.low) / sizeof(float), v.high);
  } else {
    typedef V MayAlias __attribute__((may_alias));
    *reinterpret_cast<MayAlias*>(p) = v;
  }
}

ALLO_INLINE Vec Broadcast(float x) { return x - Vec{}; }

// Lane by lane: a where `which` is positive, b elsewhere.
template <class Which, class V>
ALLO_INLINE V WherePositive(Which which, V a, V b) {
  if constexpr (kIsPair<V>) {
    return {WherePositive(which.low, a.low, b.low), WherePositive(which.high, a.high, b.high)};
  } else {
    return which > 0 ? a : b;
  }
}

template <class V>
ALLO_INLINE V Max(V a, V b) {
  if constexpr (kIsPair<V>) {
    return {Max(a.low, b.low), Max(a.high, b.high)};
  } else {
    return a > b ? a : b;
  }
}

// The same bits as integers, and back.
template <class V>
ALLO_INLINE auto Bits(V v) {
  if constexpr (kIsPair<V>) {
    return Pair{Bits(v.low), Bits(v.high)};
  } else {
    return reinterpret_cast<IntPiece>(v);
  }
}
template <class V>
ALLO_INLINE auto FromBits(V v) {
  if constexpr (kIsPair<V>) {
    return Pair{FromBits(v.low), FromBits(v.high)};
  } else {
    return reinterpret_cast<Piece>(v);
  }
}

// 0, 1, 2, ...
template <class V>
ALLO_INLINE V LaneIndex(int first = 0) {
  if constexpr (kIsPair<V>) {
    using Half = decltype(V::low);
    return {LaneIndex<Half>(first), LaneIndex<Half>(first + sizeof(Half) / sizeof(int32_t))};
  } else {
    V lanes{};
    for (int i = 0; i < kPieceLanes; ++i) lanes[i] = first + i;
    return lanes;
  }
}

// The two halves of a vector of more than four lanes.
template <class V>
ALLO_INLINE auto Halves(V v) {
  if constexpr (kIsPair<V>) {
    return v;
  } else if constexpr (sizeof(V) == 64) {
    return Pair{__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)};
  } else {
    return Pair{__builtin_shufflevector(v, v, 0, 1, 2, 3),
                __builtin_shufflevector(v, v, 4, 5, 6, 7)};
  }
}

template <int... kLane>
ALLO_INLINE Piece SwapNeighbouringLanes(Piece v, Lanes<kLane...>) {
  return __builtin_shufflevector(v, v, (kLane ^ 1)...);
}
// Lanes 2i and 2i + 1 exchanged.
template <class V>
ALLO_INLINE V SwapNeighbours(V v) {
  if constexpr (kIsPair<V>) {
    return {SwapNeighbours(v.low), SwapNeighbours(v.high)};
  } else {
    return SwapNeighbouringLanes(v, EachLane());
  }
}

// By halves: the same order of additions whatever the pieces.
ALLO_INLINE float Sum(Vec v) {
  const auto [a, b] = Halves(v);
  const auto [c, d] = Halves(a + b);
  const auto q = c + d;
  return (q[0] + q[2]) + (q[1] + q[3]);
}

ALLO_INLINE float MaxLane(Vec v) {
  const auto [a, b] = Halves(v);
  const auto [c, d] = Halves(Max(a, b));
  const auto q = Max(c, d);
  const float x = q[0] > q[1] ? q[0] : q[1];
  const float y = q[2] > q[3] ? q[2] : q[3];
  return x > y ? x : y;
}

// e^x for x <= 0, to a relative error of 2e-7 above -10; about 1e-38 below -87. 2^n times 2^f, the
// second by a minimax polynomial on [-1/2, 1/2].
ALLO_INLINE Vec ExpOfNegative(Vec x) {
  constexpr float kLog2E = 1.44269504088896341f;
  x = Max(x, Broadcast(-87.0f));
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const Vec magic = Broadcast(12582912.0f);
  const Vec shifted = x * kLog2E + magic;
  const Vec f = x * kLog2E - (shifted - magic);
  Vec p = f * 1.3276468627e-3f + 9.6755413538e-3f;
  p = p * f + 5.5507132891e-2f;
  p = p * f + 2.4022119727e-1f;
  p = p * f + 6.9314696705e-1f;
  p = p * f + 1.0f;
  return FromBits(Bits(p) + (Bits(shifted) << 23));
}

// Phi, the standard normal distribution function, and exp(-x^2 / 2), which it needs on the way.
// (Abramowitz and Stegun 7.1.26: absolute error below 8e-8.)
struct NormalCdf {
  Vec phi;
  Vec exponential;
};
ALLO_INLINE NormalCdf Phi(Vec x) {
  const Vec magnitude = Max(x, -x);
  const Vec t = 1.0f / (magnitude * (0.3275911f * 0.70710678f) + 1.0f);
  Vec p = t * 1.061405429f - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const Vec e = ExpOfNegative(x * x * -0.5f);
  const Vec upper_tail = p * t * e * 0.5f;
  return {WherePositive(x, 1.0f - upper_tail, upper_tail), e};
}

}  // namespace allometry::models::fused_cpu::ALLO_ISA
