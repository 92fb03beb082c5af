#include "fitting/extrapolation.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/statistics.h"

namespace allometry::fitting {
namespace {

constexpr size_t kMostBudgets = 64;  // of a curve

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

// The line of optima under which a method's N* and D* stand.
const Estimate* LossLine(const std::vector<Prediction>& predictions, Method method, double flops) {
  for (const Method line : {method, Method::kLossCompute, Method::kParametric}) {
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
  double df = 1;
  bool turns = false;
};

Touch FindTouch(const std::vector<Beside>& curve) {
  constexpr double kWindow = 1.3862943611198906;  // ln 4
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
  for (size_t i = 0; i < curve.size(); ++i) {
    const double u = curve[i].x - centre;
    if (std::abs(u) > kWindow) continue;
    const Eigen::Vector3d row(1, u, u * u);
    gram += row * row.transpose();
    right += row * *curve[i].gap.estimate;
    window.push_back(i);
  }
  if (static_cast<int>(window.size()) < kFewest) return touch;
  const Eigen::Matrix3d inverse = gram.inverse();
  const Eigen::Vector3d g = inverse * right;
  if (!g.allFinite() || !(g[2] > 0)) return touch;
  const double vertex = -g[1] / (2 * g[2]);
  if (vertex <= curve[window.front()].x - centre || vertex >= curve[window.back()].x - centre) {
    return touch;
  }
  double squares = 0, lagged = 0, before = 0;
  for (const size_t i : window) {
    const double u = curve[i].x - centre;
    const double residual = *curve[i].gap.estimate - (g[0] + g[1] * u + g[2] * u * u);
    squares += residual * residual;
    lagged += residual * before;
    before = residual;
  }
  touch.turns = true;
  // A short series shows less of its autocorrelation than it has, the more so beside a parabola.
  const double n = static_cast<double>(window.size());
  double r = squares > 0 ? lagged / squares : 0;
  r = std::clamp(r + (2 + 4 * r) / n, 0.0, 0.95);
  const double inflation = (1 + r) / (1 - r);
  const double variance = squares / (n - 3) * inflation;
  touch.df = std::max(2.0, n / inflation - 1);
  const Eigen::Vector3d value(1, vertex, vertex * vertex);
  const Eigen::Vector3d place(0, -1 / (2 * g[2]), g[1] / (2 * g[2] * g[2]));
  touch.gap = g.dot(value);
  touch.gap_error = std::sqrt(variance * value.dot(inverse * value));
  touch.x_error = std::sqrt(variance * place.dot(inverse * place));
  for (const size_t i : window) {
    if (std::abs(curve[i].x - centre - vertex) <
        std::abs(curve[touch.nearest].x - centre - vertex)) {
      touch.nearest = i;
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

Extrapolation AtTouch(const std::string& family, Method method, const std::vector<Beside>& curve) {
  const Touch touch = FindTouch(curve);
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
  const double shift = touch.gap - *at.gap.estimate;
  for (std::optional<double>* part :
       {&result.loss_gap.estimate, &result.loss_gap.lower, &result.loss_gap.upper}) {
    if (*part) **part += shift;
  }
  const double t = StudentQuantile(0.975, touch.df);
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
                                       const std::vector<Prediction>& predictions) {
  std::vector<Extrapolation> results;
  for (const auto& [family, curve] : withheld.curves) {
    const std::vector<Observation> points = Thin(curve, convention);
    for (const Method method : {Method::kParametric, Method::kFrontier, Method::kIsoflop}) {
      std::vector<Beside> beside;
      for (const Observation& point : points) {
        const double flops = FlopsOf(point, convention);
        const Prediction* const predicted = At(predictions, method, flops);
        const Estimate* const line = LossLine(predictions, method, flops);
        if (predicted == nullptr || !predicted->params.estimate || line == nullptr) continue;
        beside.push_back({&point, predicted, Gap(point.loss, *line), std::log(flops)});
      }
      if (!beside.empty()) results.push_back(AtTouch(family, method, beside));
    }
  }
  return results;
}

}  // namespace allometry::fitting
