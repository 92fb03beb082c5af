#include "fitting/method/settled.h"

#include <algorithm>
#include <cmath>

#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr double kStart = 2;          // a curve's start: up to this multiple of its first D
constexpr size_t kFewestInStart = 1;  // points
constexpr size_t kFewestInRest = 3;   // points
constexpr double kLevel = 0.01;       // of the test against noise
constexpr double kOfRuns = 1.0 / 3;   // of the standard deviation between runs
constexpr double kMostCorrelation = 0.98;

// Noise along a curve: AR(1), sd and correlation of neighbours.
struct Noise {
  double variance = 0, rho = 0;
};

Noise ReadNoise(const std::vector<std::vector<double>>& curves) {
  double first = 0, second = 0, firsts = 0, seconds = 0;
  for (const std::vector<double>& r : curves) {
    for (size_t i = r.size() / 2; i + 1 < r.size(); ++i) {
      first += (r[i + 1] - r[i]) * (r[i + 1] - r[i]) / 2, firsts += 1;
      if (i + 2 < r.size()) second += (r[i + 2] - r[i]) * (r[i + 2] - r[i]) / 2, seconds += 1;
    }
  }
  Noise noise;
  if (firsts == 0 || seconds == 0 || !(first > 0)) return noise;
  first /= firsts, second /= seconds;
  // first = s^2 (1 - rho), second = s^2 (1 - rho^2).
  noise.rho = std::clamp(second / first - 1, 0.0, kMostCorrelation);
  noise.variance = first / (1 - noise.rho);
  return noise;
}

// Variance of sum w_i r_i under the noise.
double Variance(const Noise& noise, const std::vector<double>& w) {
  double sum = 0, carried = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    if (i > 0) carried = noise.rho * (carried + w[i - 1]);
    sum += w[i] * w[i] + 2 * w[i] * carried;
  }
  return noise.variance * sum;
}

}  // namespace

CurveStarts ReadStarts(const DataView& view, const Clusters& curves, const Law& law,
                       const Theta& theta) {
  const Objective of_log{ObjectiveKind::kLad, 0};
  std::vector<std::vector<double>> residuals;
  std::vector<size_t> starts;  // points in each curve's start
  std::vector<double> means;
  for (std::vector<int>& members : curves.Members()) {
    std::stable_sort(members.begin(), members.end(),
                     [&](int a, int b) { return view.points[a].tokens < view.points[b].tokens; });
    std::vector<double> r;
    size_t start = 0;
    double mean = 0;
    for (int i : members) {
      start += view.points[i].tokens < kStart * view.points[members.front()].tokens;
      r.push_back(Residual(law, of_log, view.sample, theta, i, nullptr));
      mean += r.back() / static_cast<double>(members.size());
    }
    start = std::max(start, kFewestInStart);
    if (r.size() < start + kFewestInRest) continue;
    residuals.push_back(std::move(r));
    starts.push_back(start);
    means.push_back(mean);
  }
  CurveStarts result;
  result.curves = static_cast<int>(residuals.size());
  if (result.curves == 0) return result;
  const Noise noise = ReadNoise(residuals);
  for (size_t c = 0; c < residuals.size(); ++c) {
    const std::vector<double>& r = residuals[c];
    const double start = static_cast<double>(starts[c]);
    const double rest = static_cast<double>(r.size() - starts[c]);
    std::vector<double> weight(r.size());
    double difference = 0;
    for (size_t i = 0; i < r.size(); ++i) {
      weight[i] = i < starts[c] ? 1 / start : -1 / rest;
      difference += weight[i] * r[i];
    }
    const double variance = Variance(noise, weight);
    result.rms += difference * difference / result.curves;
    if (variance > 0) result.chi_squared += difference * difference / variance;
  }
  result.rms = std::sqrt(result.rms);
  result.between = StandardDeviation(means);
  result.p = ChiSquaredTail(result.chi_squared, result.curves);
  result.read = result.curves * 2 >= curves.count;
  result.settled = result.p > kLevel || result.rms <= kOfRuns * result.between;
  return result;
}

}  // namespace allometry::fitting
