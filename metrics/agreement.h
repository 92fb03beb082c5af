// Shares of places at which two videos agree.
#pragma once

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

}  // namespace allometry::metrics
