// The mean of independent repetitions, and how well they determine it.
#pragma once

#include <optional>
#include <span>

namespace allometry::metrics {

// Student's 95 % interval of the mean, mean -+ t(n - 1) s / sqrt(n); unset for one value.
struct Mean {
  double mean = 0;
  std::optional<double> low, high;
  int values = 0;
};
// Of one value or more.
Mean MeanOf(std::span<const double> values);

}  // namespace allometry::metrics
