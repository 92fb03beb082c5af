// Whether a measured number is where it was expected, and differences and ratios of two.
//
// A point inside a band proves little when its interval reaches far outside, and one outside
// proves little when its interval reaches in. So:
//
//   within         the whole interval lies in the band
//   outside        the whole interval lies out of it
//   undetermined   the interval reaches over an edge, there is none, or the fit was refused
//
// Differences and ratios are of independent estimates. Their bounds keep the asymmetry of the two
// intervals (the method of variance estimates recovery, Zou and Donner 2008, eq. 3):
//
//   lower = x - y - sqrt((x - x_lower)^2 + (y_upper - y)^2)
//   upper = x - y + sqrt((x_upper - x)^2 + (y - y_lower)^2)
//
// and of a ratio of positive numbers the same on logarithms.
#pragma once

#include <limits>
#include <optional>
#include <string>

#include "fitting/report/fit.h"

namespace allometry::fitting {

enum class Verdict { kWithin, kOutside, kUndetermined };
std::string Name(Verdict verdict);  // "within", ...

struct Band {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  bool Contains(double value) const { return low <= value && value <= high; }
};

struct Judged {
  Verdict verdict = Verdict::kUndetermined;
  std::string reason;  // a clause: "its interval reaches beyond 0.95"
};

// `refused`: why the number is not vouched for.
Judged Judge(const Estimate& ours, const std::optional<std::string>& refused, const Band& band);

// No estimate where one of the two has none; no bounds where one of the two has none.
Estimate Minus(const Estimate& x, const Estimate& y);
// No estimate where one of the two is not positive.
Estimate Over(const Estimate& x, const Estimate& y);

}  // namespace allometry::fitting
