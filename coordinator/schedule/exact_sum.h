// An exact sum of times: adding a time and taking it out again leaves no rounding error.
//
// Expected times are FLOPs until a pace is known and seconds afterwards (RunState::duration). A sum
// in double that took in 1e21 FLOPs and gave them back is wrong by 1e5 and more, in seconds. Here
// whole and fractional parts are integers, so Add(x) and Add(-x) cancel exactly.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace allometry::schedule {

class ExactSum {
 public:
  // |value| above 1e30 counts as 1e30; the fraction is kept to 2^-60.
  void Add(double value) {
    constexpr double kMost = 1e30;
    double whole = 0;
    const double fraction = std::modf(std::clamp(value, -kMost, kMost), &whole);
    whole_ += static_cast<Wide>(whole);
    fraction_ += static_cast<Wide>(std::ldexp(fraction, kFractionBits));
  }
  double value() const {
    return static_cast<double>(whole_) + std::ldexp(static_cast<double>(fraction_), -kFractionBits);
  }

 private:
  static constexpr int kFractionBits = 60;
  __extension__ using Wide = __int128;
  Wide whole_ = 0, fraction_ = 0;
};

}  // namespace allometry::schedule
