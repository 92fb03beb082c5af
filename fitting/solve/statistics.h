// The few pieces of statistics that intervals need, exact and reproducible.
//
// Random numbers come from here alone: the standard library's distributions differ between
// implementations, and a resample must be the same bits for any number of threads. Each resample
// therefore has a generator of its own, seeded by (seed, index).
#pragma once

#include <cstdint>
#include <vector>

namespace allometry::fitting {

// xoshiro256** (Blackman and Vigna 2018), its state filled by splitmix64 from (seed, stream).
class Random {
 public:
  Random(uint64_t seed, uint64_t stream);
  uint64_t Next();
  // Uniform over 0 .. n - 1, without modulo bias (Lemire 2019). n > 0.
  uint64_t Below(uint64_t n);
  double Uniform();  // in (0, 1)
  double Normal();   // Box-Muller, one value a call
  double Sign() { return Next() >> 63 ? 1.0 : -1.0; }

 private:
  uint64_t state_[4];
};

double NormalCdf(double z);
// P(T <= t) for Student's t with real df > 0.
double StudentCdf(double t, double df);
// The t with StudentCdf(t, df) = p, for 0 < p < 1; df may be real and below 1.
double StudentQuantile(double p, double df);
// P(X > x) for chi-squared with df > 0.
double ChiSquaredTail(double x, double df);

// Order statistics; the vector is copied and sorted. Empty vectors are a programmer's error.
double Median(std::vector<double> values);
// Linear interpolation between order statistics at (n - 1) p (Hyndman and Fan 1996, type 7).
double Quantile(std::vector<double> values, double p);
// sqrt(sum (v - mean)^2 / (n - 1)); 0 for fewer than two.
double StandardDeviation(const std::vector<double>& values);

// The one-way ANOVA estimate of how much of the variance of `values` is shared within clusters,
// (MSB - MSW) / (MSB + (n0 - 1) MSW) (Donner 1986, eq. 2.1); cluster[i] in 0 .. clusters - 1.
// 0 when the values do not vary or every cluster has one value.
double IntraclassCorrelation(const std::vector<double>& values, const std::vector<int>& cluster,
                             int clusters);

}  // namespace allometry::fitting
