// An axis of a panel: its range, where a value lies on it, and round ticks.
#pragma once

#include <string>
#include <vector>

namespace allometry::figures {

// How its numbers are written.
enum class Unit {
  kFlops,  // 10^9, 2x10^9
  kCount,  // parameters and tokens: 500, 5k, 20M, 1B, 2T
  kPlain,  // 2.25
};

struct Tick {
  double value = 0;
  std::string label, raised;  // "10" and "9"; both empty: a short unlabelled tick
};

class Axis {
 public:
  Axis(std::string label, Unit unit, bool log) : label_(std::move(label)), unit_(unit), log_(log) {}

  // Widens the range to hold a value; what cannot be shown (not finite, or 0 on a log axis) is left
  // out.
  void Cover(double value);
  // Ends the covering: adds a share of the range to each side. An axis of nothing becomes one of
  // about 1.
  void Settle(double share = 0.04);
  bool Shows(double value) const;
  // 0 at the lower end, 1 at the upper; beyond them outside. The value must be one that it shows.
  double Share(double value) const;
  double low() const;  // as values
  double high() const;
  // Ascending; those with a label are at round numbers.
  std::vector<Tick> Ticks() const;

  const std::string& label() const { return label_; }
  bool covered() const { return low_ <= high_; }

 private:
  double Scaled(double value) const;

  std::string label_;
  Unit unit_;
  bool log_;
  double low_ = 1e300, high_ = -1e300;  // log10 on a log axis
};

// "500", "4.94k", "51.1B": at most `digits` significant digits, no trailing zeros.
std::string CountText(double value, int digits = 3);
// About `count` round numbers within [low, high].
std::vector<double> RoundNumbers(double low, double high, int count);

}  // namespace allometry::figures
