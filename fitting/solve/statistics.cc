#include "fitting/solve/statistics.h"

#include <algorithm>
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

// Continued fraction of the incomplete beta function (Lentz 1976; DLMF 8.17.22).
double BetaFraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1;
  double d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double h = d;
  for (int m = 1; m <= 10000; ++m) {
    for (int half = 0; half < 2; ++half) {
      const double term = half == 0 ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                                    : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 + term * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      if (std::abs(c) < kTiny) c = kTiny;
      h *= d * c;
      if (half == 1 && std::abs(d * c - 1) < 1e-15) return h;
    }
  }
  return h;
}

// I_x(a, b), with 1 - x given too so that neither end loses digits.
double IncompleteBeta(double a, double b, double x, double one_minus_x) {
  if (x <= 0) return 0;
  if (one_minus_x <= 0) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log(one_minus_x));
  if (x < (a + 1) / (a + b + 2)) return front * BetaFraction(a, b, x) / a;
  return 1 - front * BetaFraction(b, a, one_minus_x) / b;
}

// P(T > t) for t >= 0.
double StudentTail(double t, double df) {
  const double square = t * t;
  return 0.5 * IncompleteBeta(df / 2, 0.5, df / (df + square), square / (df + square));
}

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

double NormalCdf(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

double StudentCdf(double t, double df) {
  return t < 0 ? StudentTail(-t, df) : 1 - StudentTail(t, df);
}

double StudentQuantile(double p, double df) {
  ALLO_CHECK(p > 0 && p < 1 && df > 0) << "p " << p << ", df " << df;
  if (p < 0.5) return -StudentQuantile(1 - p, df);
  const double tail = 1 - p;
  double low = 0, high = 1;
  while (StudentTail(high, df) > tail && high < 1e300) high *= 2;
  // Bisection: the tail falls monotonically, and 200 halvings reach the last bit.
  for (int i = 0; i < 200; ++i) {
    const double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) break;
    (StudentTail(middle, df) > tail ? low : high) = middle;
  }
  return 0.5 * (low + high);
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
