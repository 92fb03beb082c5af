// The law p_k ~ (k + 1)^-s on k = 0 .. size-1, s > 1, drawn without a table.
//
// Rejection-inversion (W. Hoermann, G. Derflinger, "Rejection-inversion to generate variates from
// monotone discrete distributions", ACM TOMACS 6, 1996): about 1.1 uniform numbers a draw whatever
// the size. The numbers come from a counter-based hash, so a draw is a function of its key.
#pragma once

#include <cstdint>
#include <vector>

namespace allometry::strata {

class Zipf {
 public:
  Zipf(int64_t size, double exponent);

  int64_t Draw(uint64_t key) const;

  // The chances themselves, summing to 1: a table, for those who need one.
  std::vector<double> Chances() const;

 private:
  double Integral(double x) const;  // of x^-s, up to a constant
  double InverseIntegral(double y) const;

  int64_t size_;
  double exponent_;
  double integral_begin_;
  double integral_end_;
  double accept_;  // draws this close below their whole number need no second look
};

}  // namespace allometry::strata
