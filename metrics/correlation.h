// How closely a measure of quality follows the loss, over checkpoints.
//
// Checkpoints of one training curve are no independent points: whatever is measured along a curve
// goes with training time. So an interval comes from leaving out whole groups (model sizes), the
// delete-one-group jackknife (Miller 1974) of z = atanh(r), with Student's t of G - 1 degrees of
// freedom; z keeps the interval within [-1, 1].
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/status.h"

namespace allometry::metrics {

struct Point {
  double x = 0;
  double y = 0;
  int group = 0;
};

enum class CorrelationKind {
  kPearson,   // linear
  kSpearman,  // of ranks, ties at their mean
};

struct Correlation {
  double r = 0;
  int points = 0;
  int groups = 0;
  // The 95 % interval; unset for fewer than three groups, or where one left out leaves no
  // correlation. `why_none` says which.
  std::optional<double> low, high;
  std::string why_none;
};

// InvalidArgument where a value is not finite; FailedPrecondition for fewer than three points, or
// where x or y is the same for all.
absl::StatusOr<Correlation> Correlate(std::span<const Point> points, CorrelationKind kind);

}  // namespace allometry::metrics
