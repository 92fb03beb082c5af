#include "data/strata/zipf.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "data/strata/draws.h"

namespace allometry::strata {

Zipf::Zipf(int64_t size, double exponent) : size_(size), exponent_(exponent) {
  ALLO_CHECK(size >= 1 && exponent > 1) << size << " " << exponent;
  integral_begin_ = Integral(1.5) - 1;
  integral_end_ = Integral(static_cast<double>(size) + 0.5);
  accept_ = 2 - InverseIntegral(Integral(2.5) - std::pow(2, -exponent));
}

double Zipf::Integral(double x) const { return std::pow(x, 1 - exponent_) / (1 - exponent_); }

double Zipf::InverseIntegral(double y) const {
  return std::pow((1 - exponent_) * y, 1 / (1 - exponent_));
}

int64_t Zipf::Draw(uint64_t key) const {
  for (uint64_t attempt = 0;; ++attempt) {
    const double u = integral_end_ + Unit(Mix(key, attempt)) * (integral_begin_ - integral_end_);
    const double x = InverseIntegral(u);
    const auto nearest = std::clamp<int64_t>(static_cast<int64_t>(x + 0.5), 1, size_);
    const auto k = static_cast<double>(nearest);
    if (k - x <= accept_ || u >= Integral(k + 0.5) - std::pow(k, -exponent_)) return nearest - 1;
  }
}

std::vector<double> Zipf::Chances() const {
  std::vector<double> chances(static_cast<size_t>(size_));
  double sum = 0;
  // The small ones first: the sum keeps them.
  for (size_t k = chances.size(); k-- > 0;) {
    sum += chances[k] = std::pow(static_cast<double>(k + 1), -exponent_);
  }
  for (double& chance : chances) chance /= sum;
  return chances;
}

}  // namespace allometry::strata
