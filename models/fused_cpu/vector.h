// Sixteen floats at a time, in GCC's vector extension, and the functions of them that a training
// step needs. The same source serves every instruction set: the compiler splits a Vec where its
// registers are narrower.
//
// Everything here is inlined and lives in a namespace named after the instruction set (ALLO_ISA, a
// definition of the compile command). No header of the C++ library is included by the kernels: an
// inline function of its compiled for AVX-512 could be the one that the linker keeps.
#pragma once

#include <stdint.h>

#define ALLO_INLINE static inline __attribute__((always_inline))

namespace allometry::models::fused_cpu::ALLO_ISA {

constexpr int kLanes = 16;

typedef float Vec __attribute__((vector_size(64), may_alias));
typedef int32_t IntVec __attribute__((vector_size(64), may_alias));
typedef float HalfVec __attribute__((vector_size(32), may_alias));
typedef float QuarterVec __attribute__((vector_size(16)));

// Buffers of the plan are aligned to 64 bytes and their rows to whole vectors.
ALLO_INLINE Vec Load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
ALLO_INLINE void Store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
ALLO_INLINE HalfVec LoadHalf(const float* p) { return *reinterpret_cast<const HalfVec*>(p); }
ALLO_INLINE void StoreHalf(float* p, HalfVec v) { *reinterpret_cast<HalfVec*>(p) = v; }
ALLO_INLINE Vec Broadcast(float x) { return x - Vec{}; }
ALLO_INLINE Vec Max(Vec a, Vec b) { return a > b ? a : b; }

ALLO_INLINE IntVec LaneIndex() {
  return IntVec{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
}

ALLO_INLINE float Sum(Vec v) {
  const HalfVec h = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                    __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const QuarterVec q =
      __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
  return (q[0] + q[2]) + (q[1] + q[3]);
}

ALLO_INLINE float MaxLane(Vec v) {
  const HalfVec a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
  const HalfVec b = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const HalfVec h = a > b ? a : b;
  const QuarterVec c = __builtin_shufflevector(h, h, 0, 1, 2, 3);
  const QuarterVec d = __builtin_shufflevector(h, h, 4, 5, 6, 7);
  const QuarterVec q = c > d ? c : d;
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
  const IntVec exponent = reinterpret_cast<IntVec>(shifted) << 23;
  return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(p) + exponent);
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
  return {x > 0.0f ? 1.0f - upper_tail : upper_tail, e};
}

}  // namespace allometry::models::fused_cpu::ALLO_ISA
