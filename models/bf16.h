// bfloat16: the upper half of an IEEE single. The same code on CPUs and in CUDA kernels, so both
// round alike.
#pragma once

#include <bit>
#include <cstdint>

#ifdef __CUDACC__
#define ALLO_HOST_DEVICE __host__ __device__
#else
#define ALLO_HOST_DEVICE
#endif

namespace allometry::models {

// The bits of the nearest bfloat16, ties to even; a NaN stays one.
ALLO_HOST_DEVICE inline uint16_t ToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  return static_cast<uint16_t>(is_nan ? bits >> 16 | 0x40u : rounded >> 16);
}

}  // namespace allometry::models
