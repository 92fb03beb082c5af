#include "fitting/solve/statistics.h"

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/check.h"

namespace allometry::fitting {
namespace {

uint64_t SplitMix(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

uint64_t RotateLeft(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

// Errors of the arguments are the callers' (ALLO_CHECK); doubles suffice for doubles.
using Policy = boost::math::policies::policy<boost::math::policies::promote_double<false>>;
using Student = boost::math::students_t_distribution<double, Policy>;

}  // namespace

Random::Random(uint64_t seed, uint64_t stream) {
  // Two rounds: neighbouring seeds and streams share nothing that one round could leave.
  uint64_t state = SplitMix(seed) + stream;
  state = SplitMix(state);
  for (uint64_t& word : state_) word = SplitMix(state);
}

uint64_t Random::Next() {
  const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = RotateLeft(state_[3], 45);
  return result;
}

uint64_t Random::Below(uint64_t n) {
  ALLO_CHECK(n > 0);
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(Next()) * n;
  if (static_cast<uint64_t>(product) < n) {
    const uint64_t threshold = (0 - n) % n;
    while (static_cast<uint64_t>(product) < threshold) product = static_cast<Wide>(Next()) * n;
  }
  return static_cast<uint64_t>(product >> 64);
}

double Random::Uniform() { return (static_cast<double>(Next() >> 11) + 0.5) * 0x1p-53; }

double Random::Normal() {
  const double radius = std::sqrt(-2 * std::log(Uniform()));
  return radius * std::cos(2 * std::numbers::pi * Uniform());
}

double NormalCdf(double z) {
  return boost::math::cdf(boost::math::normal_distribution<double, Policy>(), z);
}

double StudentCdf(double t, double df) {
  ALLO_CHECK(!std::isnan(t) && df > 0) << "t " << t << ", df " << df;
  return boost::math::cdf(Student(df), t);
}

double StudentQuantile(double p, double df) {
  ALLO_CHECK(p > 0 && p < 1 && df > 0) << "p " << p << ", df " << df;
  return boost::math::quantile(Student(df), p);
}

double ChiSquaredTail(double x, double df) {
  ALLO_CHECK(df > 0);
  if (!(x > 0)) return 1;
  if (std::isinf(x)) return 0;
  using Distribution = boost::math::chi_squared_distribution<double, Policy>;
  return boost::math::cdf(boost::math::complement(Distribution(df), x));
}

double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

double Quantile(std::vector<double> values, double p) {
  ALLO_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const double position = p * static_cast<double>(values.size() - 1);
  const size_t below = static_cast<size_t>(position);
  if (below + 1 >= values.size()) return values.back();
  const double fraction = position - static_cast<double>(below);
  return values[below] + fraction * (values[below + 1] - values[below]);
}

double StandardDeviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  double mean = 0;
  for (double value : values) mean += value;
  mean /= static_cast<double>(values.size());
  double squares = 0;
  for (double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

double IntraclassCorrelation(const std::vector<double>& values, const std::vector<int>& cluster,
                             int clusters) {
  ALLO_CHECK(values.size() == cluster.size());
  const double n = static_cast<double>(values.size());
  if (clusters < 2 || n <= clusters) return 0;
  std::vector<double> sum(clusters, 0), count(clusters, 0);
  double total = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum[cluster[i]] += values[i];
    count[cluster[i]] += 1;
    total += values[i];
  }
  double within = 0, between = 0, squared_counts = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double deviation = values[i] - sum[cluster[i]] / count[cluster[i]];
    within += deviation * deviation;
  }
  for (int c = 0; c < clusters; ++c) {
    if (count[c] == 0) continue;
    const double deviation = sum[c] / count[c] - total / n;
    between += count[c] * deviation * deviation;
    squared_counts += count[c] * count[c];
  }
  between /= clusters - 1;
  within /= n - clusters;
  const double typical = (n - squared_counts / n) / (clusters - 1);
  const double scale = between + (typical - 1) * within;
  return scale > 0 ? (between - within) / scale : 0;
}

}  // namespace allometry::fitting
