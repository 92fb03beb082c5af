#include "fitting/report/verdict.h"

#include <cmath>

#include "absl/strings/str_format.h"

namespace allometry::fitting {
namespace {

bool HasBounds(const Estimate& estimate) { return estimate.lower && estimate.upper; }

}  // namespace

std::string Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kWithin:
      return "within";
    case Verdict::kOutside:
      return "outside";
    case Verdict::kUndetermined:
      return "undetermined";
  }
  return "unknown";
}

Judged Judge(const Estimate& ours, const std::optional<std::string>& refused, const Band& band) {
  if (refused) return {Verdict::kUndetermined, "the fit is refused: " + *refused};
  if (!ours.estimate) return {Verdict::kUndetermined, "there is no estimate"};
  const double value = *ours.estimate;
  const bool inside = band.Contains(value);
  if (!HasBounds(ours)) {
    return {Verdict::kUndetermined, absl::StrFormat("%.4g is %s the band, but has no interval",
                                                    value, inside ? "in" : "out of")};
  }
  const double lower = *ours.lower, upper = *ours.upper;
  if (band.Contains(lower) && band.Contains(upper)) {
    return {Verdict::kWithin, "the whole interval is in the band"};
  }
  if (upper < band.low) {
    return {Verdict::kOutside, absl::StrFormat("the whole interval is below %.4g", band.low)};
  }
  if (lower > band.high) {
    return {Verdict::kOutside, absl::StrFormat("the whole interval is above %.4g", band.high)};
  }
  return {Verdict::kUndetermined,
          absl::StrFormat("%.4g is %s the band, its interval reaches %s %.4g", value,
                          inside ? "in" : "out of", lower < band.low ? "below" : "above",
                          lower < band.low ? band.low : band.high)};
}

Estimate Minus(const Estimate& x, const Estimate& y) {
  Estimate result;
  if (!x.estimate || !y.estimate) return result;
  result.estimate = *x.estimate - *y.estimate;
  if (!HasBounds(x) || !HasBounds(y)) return result;
  result.lower = *result.estimate - std::hypot(*x.estimate - *x.lower, *y.upper - *y.estimate);
  result.upper = *result.estimate + std::hypot(*x.upper - *x.estimate, *y.estimate - *y.lower);
  return result;
}

Estimate Over(const Estimate& x, const Estimate& y) {
  const auto log = [](const Estimate& value) {
    Estimate result;
    if (!value.estimate || !(*value.estimate > 0)) return result;
    result.estimate = std::log(*value.estimate);
    if (HasBounds(value) && *value.lower > 0) {
      result.lower = std::log(*value.lower);
      result.upper = std::log(*value.upper);
    }
    return result;
  };
  Estimate result = Minus(log(x), log(y));
  for (std::optional<double>* part : {&result.estimate, &result.lower, &result.upper}) {
    if (*part) *part = std::exp(**part);
  }
  return result;
}

}  // namespace allometry::fitting
