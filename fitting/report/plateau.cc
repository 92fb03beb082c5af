#include "fitting/report/plateau.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr size_t kFewestPoints = 4;

// Mean loss of the points with `from` <= C; the curve is sorted by C.
double MeanFrom(const std::vector<Observation>& curve, double from, double to) {
  double sum = 0;
  int count = 0;
  for (const Observation& point : curve) {
    if (point.compute() < from || point.compute() > to) continue;
    sum += point.loss;
    ++count;
  }
  return sum / count;
}

bool LongEnough(const std::vector<Observation>& curve) {
  return curve.size() >= kFewestPoints && curve.front().compute() <= curve.back().compute() / 2;
}

CurvePlateau OfCurve(const std::vector<Observation>& curve, double within) {
  CurvePlateau result;
  result.params = curve.back().params;
  const double end = curve.back().compute();
  result.plateau = MeanFrom(curve, end / std::sqrt(2.0), end);
  for (const Observation& point : curve) {
    if (point.loss > result.plateau * (1 + within)) continue;
    result.flops = point.compute();
    break;
  }
  // The point an octave before the end, or the last before it.
  double before = curve.front().loss;
  for (const Observation& point : curve) {
    if (point.compute() <= end / 2) before = point.loss;
  }
  result.still_falling = before > result.plateau * (1 + within);
  return result;
}

}  // namespace

Plateau FindPlateau(const Observations& observations, const std::vector<std::string>& families,
                    double within) {
  std::map<std::pair<std::string, std::string>, std::vector<Observation>> curves;
  for (const Observation& point : observations.points()) {
    const std::string family = point.family < 0 ? "" : observations.families()[point.family];
    if (!families.empty() &&
        std::find(families.begin(), families.end(), family) == families.end()) {
      continue;
    }
    curves[{family, point.run < 0 ? "" : observations.runs()[point.run]}].push_back(point);
  }
  Plateau result;
  std::vector<double> logs;
  std::vector<std::string> falling, left_out;
  for (auto& [labels, curve] : curves) {
    std::stable_sort(curve.begin(), curve.end(), [](const Observation& a, const Observation& b) {
      return a.compute() < b.compute();
    });
    if (!LongEnough(curve)) {
      left_out.push_back(labels.first);
      continue;
    }
    CurvePlateau one = OfCurve(curve, within);
    one.family = labels.first;
    one.run = labels.second;
    if (one.still_falling) falling.push_back(one.family);
    logs.push_back(std::log(one.flops));
    result.curves.push_back(one);
  }
  std::stable_sort(
      result.curves.begin(), result.curves.end(),
      [](const CurvePlateau& a, const CurvePlateau& b) { return a.params < b.params; });
  std::vector<std::string> notes;
  if (!falling.empty()) {
    notes.push_back(absl::StrFormat("still falling at the end, a lower bound: %s",
                                    absl::StrJoin(falling, ", ")));
  }
  if (!left_out.empty()) {
    notes.push_back(absl::StrFormat("curves too short: %s", absl::StrJoin(left_out, ", ")));
  }
  result.note = absl::StrJoin(notes, "; ");
  if (logs.empty()) return result;
  double mean = 0;
  for (const double log : logs) mean += log / static_cast<double>(logs.size());
  result.flops.estimate = std::exp(mean);
  if (logs.size() < 2) return result;
  const double n = static_cast<double>(logs.size());
  const double half = StudentQuantile(0.975, n - 1) * StandardDeviation(logs) / std::sqrt(n);
  result.flops.lower = std::exp(mean - half);
  result.flops.upper = std::exp(mean + half);
  result.flops.df = n - 1;
  return result;
}

}  // namespace allometry::fitting
