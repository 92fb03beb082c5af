#include "metrics/correlation.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "absl/strings/str_format.h"

namespace allometry::metrics {
namespace {

constexpr int kLeastPoints = 3;
constexpr int kLeastGroups = 3;
// A correlation of exactly 1 has no z.
constexpr double kMostR = 1 - 1e-12;

// Ranks from 1; equal values share the mean of theirs.
std::vector<double> Ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) {
      ranks[order[i]] = static_cast<double>(begin + 1 + end) / 2;
    }
    begin = end;
  }
  return ranks;
}

// Unset: x or y does not vary, or there are fewer than three points.
std::optional<double> R(std::vector<double> x, std::vector<double> y, CorrelationKind kind) {
  if (x.size() < kLeastPoints) return std::nullopt;
  if (kind == CorrelationKind::kSpearman) {
    x = Ranks(x);
    y = Ranks(y);
  }
  const double n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  if (!(xx > 0) || !(yy > 0)) return std::nullopt;
  return std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0);
}

// Of all points but those of one group; unset leaves none out.
std::optional<double> Without(std::span<const Point> points, std::optional<int> group,
                              CorrelationKind kind) {
  std::vector<double> x, y;
  for (const Point& point : points) {
    if (group == point.group) continue;
    x.push_back(point.x);
    y.push_back(point.y);
  }
  return R(std::move(x), std::move(y), kind);
}

double Z(double r) { return std::atanh(std::clamp(r, -kMostR, kMostR)); }

}  // namespace

absl::StatusOr<Correlation> Correlate(std::span<const Point> points, CorrelationKind kind) {
  std::set<int> groups;
  for (const Point& point : points) {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the point (%g, %g) is not finite", point.x, point.y));
    }
    groups.insert(point.group);
  }
  if (points.size() < kLeastPoints) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "a correlation of %d points: at least %d are needed", points.size(), kLeastPoints));
  }
  const std::optional<double> all = Without(points, std::nullopt, kind);
  if (!all.has_value()) {
    return absl::FailedPreconditionError("all points have the same value: there is no correlation");
  }
  Correlation out;
  out.r = *all;
  out.points = static_cast<int>(points.size());
  out.groups = static_cast<int>(groups.size());
  if (out.groups < kLeastGroups) {
    out.why_none =
        absl::StrFormat("no interval: %d groups, at least %d are needed", out.groups, kLeastGroups);
    return out;
  }
  std::vector<double> left;
  for (const int group : groups) {
    const std::optional<double> r = Without(points, group, kind);
    if (!r.has_value()) {
      out.why_none = "no interval: without one of the groups there is no correlation";
      return out;
    }
    left.push_back(Z(*r));
  }
  const double g = out.groups;
  const double mean = std::accumulate(left.begin(), left.end(), 0.0) / g;
  double sum = 0;
  for (const double z : left) sum += (z - mean) * (z - mean);
  const double error = std::sqrt((g - 1) / g * sum);
  const double half = error * boost::math::quantile(boost::math::students_t(g - 1), 0.975);
  out.low = std::tanh(Z(out.r) - half);
  out.high = std::tanh(Z(out.r) + half);
  return out;
}

}  // namespace allometry::metrics
