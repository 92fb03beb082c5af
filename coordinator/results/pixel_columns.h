// A curve of any length drawn on a picture some hundred columns wide.
//
// Of the points that fall into one column the lowest and the highest are kept, so the drawn line
// covers the same pixels as the whole curve would; the first and the last point of the curve are
// kept too. At most two points a column, and two more.
//
//   PixelColumns columns({.from = 1e12, .to = 1e15, .count = 800, .log = true});
//   CurveSampler sampler(columns);
//   for (...) sampler.Add(x, y);       // x ascending
//   sampler.Finish();                  // sampler.x(), sampler.y()
#pragma once

#include <cstdint>
#include <vector>

namespace allometry::coordinator {

// The part of an axis that is drawn, in `count` columns of equal width, or of equal ratio.
struct PixelColumns {
  double from = 0, to = 0;  // from <= to; where log is set, from > 0
  int count = 1;
  bool log = false;

  // 0 to count - 1; -1: outside.
  int Of(double x) const;
};

// Of() for values that mostly lie in the column of the one before: a logarithm a column, not a
// point.
class ColumnCursor {
 public:
  explicit ColumnCursor(const PixelColumns& columns) : columns_(columns) {}
  int Of(double x) {
    if (x > from_ && x < to_) return column_;
    return Find(x);
  }

 private:
  int Find(double x);

  const PixelColumns columns_;
  int column_ = -1;
  double from_ = 0, to_ = 0;  // surely inside the column
};

class CurveSampler {
 public:
  explicit CurveSampler(const PixelColumns& columns) : columns_(columns) {}

  // In the order of x. What is not finite, or outside the columns, is left out.
  void Add(double x, double y);
  void Finish();

  const std::vector<double>& x() const { return x_; }
  const std::vector<double>& y() const { return y_; }
  int64_t points() const { return points_; }  // that were added and not left out

 private:
  struct Point {
    int64_t index;
    double x, y;
  };
  void Flush();
  void Keep(const Point& point);

  ColumnCursor columns_;
  int column_ = -1;
  Point lowest_{}, highest_{}, newest_{};
  int64_t points_ = 0;
  int64_t kept_ = -1;  // index of the last point in x_ and y_
  std::vector<double> x_, y_;
};

// The least value of many curves by each column: the lower envelope, which never rises.
class Frontier {
 public:
  explicit Frontier(const PixelColumns& columns);

  void Add(int64_t run_id, double x, double y);
  struct Point {
    double x, y;
    int64_t run_id;
  };
  // By x, one for each column in which the least value so far fell.
  std::vector<Point> Points() const;

 private:
  const PixelColumns columns_;
  std::vector<Point> least_;  // of each column; run_id 0: none
};

}  // namespace allometry::coordinator
