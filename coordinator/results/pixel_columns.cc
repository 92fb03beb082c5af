#include "coordinator/results/pixel_columns.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace allometry::coordinator {

int PixelColumns::Of(double x) const {
  if (!(x >= from && x <= to)) return -1;
  if (from == to) return 0;
  const double share = log ? std::log(x / from) / std::log(to / from) : (x - from) / (to - from);
  return std::clamp(static_cast<int>(share * count), 0, count - 1);
}

int ColumnCursor::Find(double x) {
  column_ = columns_.Of(x);
  from_ = to_ = 0;
  if (column_ < 0 || columns_.from == columns_.to) return column_;
  // Not its edges, where the column is a matter of rounding.
  constexpr double kEdge = 1e-6;
  const auto at = [&](double column) {
    const double share = column / columns_.count;
    return columns_.log ? columns_.from * std::pow(columns_.to / columns_.from, share)
                        : columns_.from + share * (columns_.to - columns_.from);
  };
  from_ = at(column_ + kEdge);
  to_ = at(column_ + 1 - kEdge);
  return column_;
}

void CurveSampler::Add(double x, double y) {
  if (!std::isfinite(y)) return;
  const int column = columns_.Of(x);
  if (column < 0) return;
  const Point point{points_++, x, y};
  newest_ = point;
  if (point.index == 0) Keep(point);
  if (column != column_) {
    Flush();
    column_ = column;
    lowest_ = highest_ = point;
    return;
  }
  if (y < lowest_.y) lowest_ = point;
  if (y > highest_.y) highest_ = point;
}

void CurveSampler::Finish() {
  Flush();
  if (points_ > 0) Keep(newest_);
  column_ = -1;
}

void CurveSampler::Flush() {
  if (column_ < 0) return;
  Keep(lowest_.index < highest_.index ? lowest_ : highest_);
  Keep(lowest_.index < highest_.index ? highest_ : lowest_);
}

void CurveSampler::Keep(const Point& point) {
  if (point.index <= kept_) return;
  kept_ = point.index;
  x_.push_back(point.x);
  y_.push_back(point.y);
}

Frontier::Frontier(const PixelColumns& columns)
    : columns_(columns), least_(static_cast<size_t>(columns.count), Point{0, 0, 0}) {}

void Frontier::Add(int64_t run_id, double x, double y) {
  const int column = std::isfinite(y) ? columns_.Of(x) : -1;
  if (column < 0) return;
  Point& least = least_[static_cast<size_t>(column)];
  if (least.run_id == 0 || y < least.y) least = {x, y, run_id};
}

std::vector<Frontier::Point> Frontier::Points() const {
  std::vector<Point> points;
  double so_far = std::numeric_limits<double>::infinity();
  for (const Point& least : least_) {
    if (least.run_id == 0 || least.y >= so_far) continue;
    so_far = least.y;
    points.push_back(least);
  }
  return points;
}

}  // namespace allometry::coordinator
