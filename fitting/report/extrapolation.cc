#include "fitting/report/extrapolation.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr size_t kMostBudgets = 64;             // of a curve
constexpr double kWindow = 1.3862943611198906;  // ln 4

double FlopsOf(const Observation& point, FlopsConvention convention) {
  return convention == FlopsConvention::kData && point.flops > 0 ? point.flops
                                                                 : 6 * point.params * point.tokens;
}

// At most kMostBudgets of the curve, evenly over its order of C, the largest included.
std::vector<Observation> Thin(std::vector<Observation> curve, FlopsConvention convention) {
  std::sort(curve.begin(), curve.end(), [&](const Observation& a, const Observation& b) {
    const double fa = FlopsOf(a, convention), fb = FlopsOf(b, convention);
    return fa != fb ? fa < fb : a.loss < b.loss;
  });
  if (curve.size() <= kMostBudgets) return curve;
  std::vector<Observation> thin;
  for (size_t k = 0; k < kMostBudgets; ++k) {
    thin.push_back(curve[(curve.size() - 1) * k / (kMostBudgets - 1)]);
  }
  return thin;
}

// log10(realised / predicted), its bounds in order.
Estimate LogRatio(double realised, const Estimate& predicted) {
  Estimate ratio;
  if (!predicted.estimate || !(*predicted.estimate > 0)) return ratio;
  ratio.estimate = std::log10(realised / *predicted.estimate);
  if (predicted.lower && predicted.upper && *predicted.lower > 0) {
    ratio.lower = std::log10(realised / *predicted.upper);
    ratio.upper = std::log10(realised / *predicted.lower);
  }
  return ratio;
}

Estimate Gap(double realised, const Estimate& predicted) {
  Estimate gap;
  if (!predicted.estimate) return gap;
  gap.estimate = realised - *predicted.estimate;
  if (predicted.lower && predicted.upper) {
    gap.lower = realised - *predicted.upper;
    gap.upper = realised - *predicted.lower;
  }
  return gap;
}

const Prediction* At(const std::vector<Prediction>& predictions, Method method, double flops) {
  for (const Prediction& one : predictions) {
    if (one.method == method && one.flops == flops) return &one;
  }
  return nullptr;
}

// The line of optima, the parametric one where there is one: it is far less uncertain beyond the
// data than that of loss-compute, and where the curve touches it decides what is compared.
const Estimate* LossLine(const std::vector<Prediction>& predictions, double flops) {
  for (const Method line : {Method::kParametric, Method::kLossCompute}) {
    const Prediction* const found = At(predictions, line, flops);
    if (found != nullptr && found->loss.estimate) return &found->loss;
  }
  return nullptr;
}

// One point of a withheld curve beside what was predicted at its C.
struct Beside {
  const Observation* point;
  const Prediction* predicted;
  Estimate gap;
  double x = 0;  // ln C
};

// Where the curve touches the line: ln C, the gap there, and the standard errors of both.
struct Touch {
  size_t nearest = 0;  // index of the point
  double gap = 0, gap_error = 0, x_error = 0;
  bool turns = false;
};

// The standard error of sum w_i loss_i along one curve.
double ErrorOf(const std::vector<double>& weights, const std::vector<double>& x,
               const CurveNoise& noise) {
  double variance = 0, total = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    total += weights[i];
    for (size_t k = 0; k < x.size(); ++k) {
      variance += weights[i] * weights[k] * noise.Wander(x[i] - x[k]);
    }
  }
  return std::sqrt(std::max(0.0, variance + noise.offset * total * total));
}

Touch FindTouch(const std::vector<Beside>& curve, const CurveNoise& noise) {
  constexpr int kFewest = 6;
  Touch touch;
  for (size_t i = 1; i < curve.size(); ++i) {
    if (*curve[i].gap.estimate < *curve[touch.nearest].gap.estimate) touch.nearest = i;
  }
  touch.gap = *curve[touch.nearest].gap.estimate;
  const double centre = curve[touch.nearest].x;
  Eigen::Matrix3d gram = Eigen::Matrix3d::Zero();
  Eigen::Vector3d right = Eigen::Vector3d::Zero();
  std::vector<size_t> window;
  std::vector<double> u;
  for (size_t i = 0; i < curve.size(); ++i) {
    if (std::abs(curve[i].x - centre) > kWindow) continue;
    window.push_back(i);
    u.push_back(curve[i].x - centre);
    const Eigen::Vector3d row(1, u.back(), u.back() * u.back());
    gram += row * row.transpose();
    right += row * *curve[i].gap.estimate;
  }
  if (static_cast<int>(window.size()) < kFewest) return touch;
  const Eigen::Matrix3d inverse = gram.inverse();
  const Eigen::Vector3d g = inverse * right;
  if (!g.allFinite() || !(g[2] > 0)) return touch;
  const double vertex = -g[1] / (2 * g[2]);
  if (vertex <= u.front() || vertex >= u.back()) return touch;
  touch.turns = true;
  const Eigen::Vector3d value(1, vertex, vertex * vertex);
  const Eigen::Vector3d place(0, -1 / (2 * g[2]), g[1] / (2 * g[2] * g[2]));
  std::vector<double> of_value, of_place;  // derivatives by each loss
  for (const double at : u) {
    const Eigen::Vector3d row = inverse * Eigen::Vector3d(1, at, at * at);
    of_value.push_back(value.dot(row));
    of_place.push_back(place.dot(row));
  }
  touch.gap = g.dot(value);
  touch.gap_error = ErrorOf(of_value, u, noise);
  touch.x_error = ErrorOf(of_place, u, noise);
  for (size_t i = 0; i < window.size(); ++i) {
    if (std::abs(u[i] - vertex) < std::abs(curve[touch.nearest].x - centre - vertex)) {
      touch.nearest = window[i];
    }
  }
  return touch;
}

// Bounds further out by `half`, in quadrature.
void Widen(double half, Estimate& estimate) {
  if (!estimate.lower || !estimate.upper) return;
  estimate.lower = *estimate.estimate - std::hypot(*estimate.estimate - *estimate.lower, half);
  estimate.upper = *estimate.estimate + std::hypot(*estimate.upper - *estimate.estimate, half);
}

// d ln N* / d ln C between the curve's ends.
double Slope(const std::vector<Beside>& curve) {
  const double span = curve.back().x - curve.front().x;
  if (!(span > 0)) return 0;
  return std::log(*curve.back().predicted->params.estimate /
                  *curve.front().predicted->params.estimate) /
         span;
}

Extrapolation AtTouch(const std::string& family, Method method, const std::vector<Beside>& curve,
                      const CurveNoise& noise) {
  const Touch touch = FindTouch(curve, noise);
  const Beside& at = curve[touch.nearest];
  Extrapolation result;
  result.family = family;
  result.method = method;
  result.params = at.point->params;
  result.tokens = at.point->tokens;
  result.flops = at.predicted->flops;
  result.loss = at.point->loss;
  result.log10_params = LogRatio(at.point->params, at.predicted->params);
  result.log10_tokens = LogRatio(at.point->tokens, at.predicted->tokens);
  result.loss_gap = at.gap;
  result.decades_outside = at.predicted->decades_outside;
  result.turns = touch.turns;
  if (!touch.turns) return result;
  if (!(noise.df > 0)) {
    for (Estimate* one : {&result.log10_params, &result.log10_tokens, &result.loss_gap}) {
      one->lower = one->upper = std::nullopt;
    }
  }
  const double shift = touch.gap - *at.gap.estimate;
  for (std::optional<double>* part :
       {&result.loss_gap.estimate, &result.loss_gap.lower, &result.loss_gap.upper}) {
    if (*part) **part += shift;
  }
  const double t = StudentQuantile(0.975, noise.df);
  const double half = t * touch.x_error * std::abs(Slope(curve)) / std::log(10.0);
  Widen(half, result.log10_params);
  Widen(half, result.log10_tokens);
  Widen(t * touch.gap_error, result.loss_gap);
  return result;
}

}  // namespace

absl::StatusOr<Withheld> Withhold(const Observations& observations,
                                  const std::vector<std::string>& families) {
  const std::vector<std::string>& known = observations.families();
  Withheld result;
  std::vector<int> slot(known.size(), -1);  // family -> its curve
  for (const std::string& family : families) {
    const auto found = std::find(known.begin(), known.end(), family);
    if (found == known.end()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "cannot withhold '%s': the observations' sizes are %s", family,
          known.empty() ? std::string("not labelled") : absl::StrJoin(known, ", ")));
    }
    int& place = slot[static_cast<size_t>(found - known.begin())];
    if (place >= 0) continue;
    place = static_cast<int>(result.curves.size());
    result.curves.push_back({family, {}});
  }
  result.fitted.params_policy = observations.params_policy;
  result.fitted.read = observations.read;
  std::vector<size_t> kept;
  for (size_t i = 0; i < observations.points().size(); ++i) {
    const Observation& point = observations.points()[i];
    const int place = point.family < 0 ? -1 : slot[static_cast<size_t>(point.family)];
    if (place >= 0) {
      result.curves[static_cast<size_t>(place)].second.push_back(point);
      continue;
    }
    const auto label = [](const std::vector<std::string>& labels, int32_t index) {
      return index < 0 ? absl::string_view() : absl::string_view(labels[index]);
    };
    result.fitted.Add(point, label(observations.runs(), point.run), label(known, point.family));
    kept.push_back(i);
  }
  if (kept.empty()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("withholding %s leaves nothing to fit", absl::StrJoin(families, ", ")));
  }
  for (const Alternative& other : observations.alternatives()) {
    std::vector<double> params;
    for (const size_t i : kept) params.push_back(other.params[i]);
    result.fitted.AddAlternative(other.params_policy, std::move(params));
  }
  for (const std::string& note : observations.notes()) result.fitted.AddNote(note);
  for (const Exclusion& one : observations.exclusions()) {
    result.fitted.Exclude(one.line, one.reason, one.points);
  }
  for (const auto& [family, curve] : result.curves) {
    result.fitted.Exclude(0, absl::StrFormat("%s is withheld, to be predicted", family),
                          static_cast<int64_t>(curve.size()));
  }
  return result;
}

double CurveNoise::Wander(double distance) const {
  return range > 0 ? wander * std::exp(-std::abs(distance) / range) : (distance == 0 ? wander : 0);
}

CurveNoise MeasureNoise(const Observations& fitted, const MethodFit& law) {
  const auto value = [&law](const char* name, double otherwise) {
    const Estimate* const found = law.Find(name);
    return found != nullptr && found->estimate ? *found->estimate : otherwise;
  };
  const double e = value("E", 0), a = value("A", 0), b = value("B", 0), alpha = value("alpha", 0),
               beta = value("beta", 0), gamma = value("gamma", 1);
  struct Residual {
    double x, r;
  };
  std::map<int32_t, std::vector<Residual>> runs;
  double squares = 0;
  for (const Observation& point : fitted.points()) {
    const double predicted =
        e + std::pow(a * std::pow(point.params, -alpha) + b * std::pow(point.tokens, -beta), gamma);
    runs[point.run].push_back({std::log(point.tokens), point.loss - predicted});
    squares += runs[point.run].back().r * runs[point.run].back().r;
  }
  // Half the mean square of differences: of neighbours, and of points a window apart.
  double near = 0, near_distance = 0, far = 0;
  int64_t neighbours = 0, distant = 0;
  for (auto& [run, curve] : runs) {
    std::sort(curve.begin(), curve.end(),
              [](const Residual& one, const Residual& two) { return one.x < two.x; });
    for (size_t i = 0; i < curve.size(); ++i) {
      for (size_t k = i + 1; k < curve.size() && curve[k].x - curve[i].x <= 2 * kWindow; ++k) {
        const double half = 0.5 * (curve[k].r - curve[i].r) * (curve[k].r - curve[i].r);
        if (k == i + 1) {
          near += half;
          near_distance += curve[k].x - curve[i].x;
          ++neighbours;
        }
        if (curve[k].x - curve[i].x >= kWindow) {
          far += half;
          ++distant;
        }
      }
    }
  }
  CurveNoise noise;
  noise.df = std::max<double>(1, static_cast<double>(runs.size()) - 1);
  if (neighbours == 0 || distant == 0) return noise;
  near /= static_cast<double>(neighbours);
  near_distance /= static_cast<double>(neighbours);
  noise.wander = std::max(near, far / static_cast<double>(distant));
  noise.offset = std::max(0.0, squares / static_cast<double>(fitted.used()) - noise.wander);
  if (near < noise.wander) noise.range = -near_distance / std::log(1 - near / noise.wander);
  return noise;
}

std::vector<double> BudgetsOf(const Withheld& withheld, FlopsConvention convention) {
  std::vector<double> budgets;
  for (const auto& [family, curve] : withheld.curves) {
    for (const Observation& point : Thin(curve, convention)) {
      budgets.push_back(FlopsOf(point, convention));
    }
  }
  std::sort(budgets.begin(), budgets.end());
  budgets.erase(std::unique(budgets.begin(), budgets.end()), budgets.end());
  return budgets;
}

std::vector<Extrapolation> Extrapolate(const Withheld& withheld, FlopsConvention convention,
                                       const std::vector<Prediction>& predictions,
                                       const CurveNoise& noise) {
  std::vector<Extrapolation> results;
  for (const auto& [family, curve] : withheld.curves) {
    const std::vector<Observation> points = Thin(curve, convention);
    for (const Method method : {Method::kParametric, Method::kFrontier, Method::kIsoflop}) {
      std::vector<Beside> beside;
      for (const Observation& point : points) {
        const double flops = FlopsOf(point, convention);
        const Prediction* const predicted = At(predictions, method, flops);
        const Estimate* const line = LossLine(predictions, flops);
        if (predicted == nullptr || !predicted->params.estimate || line == nullptr) continue;
        beside.push_back({&point, predicted, Gap(point.loss, *line), std::log(flops)});
      }
      if (!beside.empty()) results.push_back(AtTouch(family, method, beside, noise));
    }
  }
  return results;
}

}  // namespace allometry::fitting
