#include "metrics/mean.h"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>

#include "base/check.h"

namespace allometry::metrics {

Mean MeanOf(std::span<const double> values) {
  ALLO_CHECK(!values.empty()) << "a mean of no values";
  const auto n = static_cast<double>(values.size());
  Mean out;
  out.values = static_cast<int>(values.size());
  for (const double value : values) out.mean += value / n;
  if (values.size() < 2) return out;
  double square = 0;
  for (const double value : values) square += (value - out.mean) * (value - out.mean);
  const double half = boost::math::quantile(boost::math::students_t(n - 1), 0.975) *
                      std::sqrt(square / (n - 1) / n);
  out.low = out.mean - half;
  out.high = out.mean + half;
  return out;
}

}  // namespace allometry::metrics
