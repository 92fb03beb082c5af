#include "figures/axis.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace allometry::figures {
namespace {

constexpr double kDecadeTicks = 1.2;  // decades from which a log axis has its ticks at decades
constexpr double kHalfDecades = 2.2;  // decades up to which 2 and 5 are labelled too
constexpr int kMostDecades = 7;
constexpr int kLinearTicks = 6;

// Decimals that tell numbers apart which lie `step` apart.
int Decimals(double step) {
  int decimals = 0;
  while (decimals < 9 && std::abs(step - std::round(step)) > 1e-6 * std::abs(step)) {
    step *= 10;
    ++decimals;
  }
  return decimals;
}

}  // namespace

std::string CountText(double value, int digits) {
  const char* const units[] = {"", "k", "M", "B", "T"};
  int unit = 0;
  // Where rounding makes a thousand, the next unit.
  while (std::abs(value) >= 1000 - 0.5 * std::pow(10.0, 3 - digits) && unit < 4) {
    value /= 1000;
    ++unit;
  }
  if (value != 0) {
    const double power =
        std::pow(10.0, digits - 1 - std::floor(std::log10(std::abs(value)) + 1e-12));
    value = std::round(value * power) / power;
  }
  return absl::StrFormat("%.10g%s", value, units[unit]);
}

std::vector<double> RoundNumbers(double low, double high, int count) {
  std::vector<double> numbers;
  if (!(high > low)) return numbers;
  const double raw = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double step = power * (raw / power > 5   ? 10
                               : raw / power > 2 ? 5
                               : raw / power > 1 ? 2
                                                 : 1);
  const double first = std::ceil(low / step - 1e-9);
  for (double k = first; k * step <= high + 1e-9 * step; ++k) {
    numbers.push_back(k == 0 ? 0 : k * step);
  }
  return numbers;
}

double Axis::Scaled(double value) const { return log_ ? std::log10(value) : value; }

bool Axis::Shows(double value) const { return std::isfinite(value) && (!log_ || value > 0); }

void Axis::Cover(double value) {
  if (!Shows(value)) return;
  low_ = std::min(low_, Scaled(value));
  high_ = std::max(high_, Scaled(value));
}

void Axis::Settle(double share) {
  if (low_ > high_) low_ = log_ ? -0.5 : 0, high_ = log_ ? 0.5 : 1;
  const double least = log_ ? 0.02 : std::max(1e-6, 0.01 * std::abs(high_));
  const double pad = std::max(share * (high_ - low_), least);
  low_ -= pad;
  high_ += pad;
}

double Axis::Share(double value) const { return (Scaled(value) - low_) / (high_ - low_); }
double Axis::low() const { return log_ ? std::pow(10.0, low_) : low_; }
double Axis::high() const { return log_ ? std::pow(10.0, high_) : high_; }

std::vector<Tick> Axis::Ticks() const {
  std::vector<Tick> ticks;
  const double span = high_ - low_;
  if (!log_ || span < kDecadeTicks) {
    const std::vector<double> numbers = RoundNumbers(low(), high(), kLinearTicks);
    const int decimals = numbers.size() > 1 ? Decimals(numbers[1] - numbers[0]) : 0;
    for (const double value : numbers) {
      if (log_ && !(value > 0)) continue;
      Tick tick{value, "", ""};
      if (unit_ == Unit::kCount) {
        tick.label = CountText(value, 4);
      } else if (unit_ == Unit::kFlops) {
        const int exponent = static_cast<int>(std::floor(std::log10(value) + 1e-9));
        const double mantissa = value / std::pow(10.0, exponent);
        tick.label =
            std::abs(mantissa - 1) < 1e-9 ? "10" : absl::StrFormat("%.4g\u00d710", mantissa);
        tick.raised = absl::StrCat(exponent);
      } else {
        tick.label = absl::StrFormat("%.*f", decimals, value);
      }
      ticks.push_back(std::move(tick));
    }
    return ticks;
  }
  const int step = std::max(1, static_cast<int>(std::ceil(span / kMostDecades)));
  const int first = static_cast<int>(std::floor(low_)), last = static_cast<int>(std::ceil(high_));
  for (int decade = first; decade <= last; ++decade) {
    for (int m = 1; m <= (step == 1 ? 9 : 1); ++m) {
      const double value = m * std::pow(10.0, decade);
      const double at = std::log10(value);
      if (at < low_ || at > high_) continue;
      Tick tick{value, "", ""};
      const bool labelled = m == 1 ? decade % step == 0 : span < kHalfDecades && (m == 2 || m == 5);
      if (labelled && unit_ == Unit::kCount && decade < 15 && decade >= 0) {
        tick.label = CountText(value, 3);
      } else if (labelled && unit_ == Unit::kPlain && std::abs(decade) < 4) {
        tick.label = absl::StrFormat("%g", value);
      } else if (labelled) {
        tick.label = m == 1 ? "10" : absl::StrFormat("%d\u00d710", m);
        tick.raised = absl::StrCat(decade);
      }
      ticks.push_back(std::move(tick));
    }
  }
  return ticks;
}

}  // namespace allometry::figures
