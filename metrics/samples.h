// Rows of features: one row a sample.
#pragma once

#include <cstdint>
#include <span>

namespace allometry::metrics {

struct Samples {
  std::span<const float> values;  // [count, features], row-major
  int64_t count = 0;
  int features = 0;
};

}  // namespace allometry::metrics
