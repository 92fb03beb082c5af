// How far two videos agree.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace allometry::metrics {

// Of real[i] and generated[i], the share that is equal; 0 of none. Both have one length.
inline double ShareEqual(std::span<const int32_t> real, std::span<const int32_t> generated) {
  if (real.empty()) return 0;
  int64_t equal = 0;
  for (size_t i = 0; i < real.size(); ++i) equal += real[i] == generated[i];
  return static_cast<double>(equal) / static_cast<double>(real.size());
}

// Of two vectors of one length 1 less the cosine of the angle between them, 0 to 2; of two zero
// vectors 0, of one 1.
inline double CosineDistance(std::span<const float> a, std::span<const float> b) {
  double aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
    ab += double{a[i]} * b[i];
  }
  if (aa == 0 && bb == 0) return 0;
  if (aa == 0 || bb == 0) return 1;
  return 1 - ab / std::sqrt(aa * bb);
}

}  // namespace allometry::metrics
