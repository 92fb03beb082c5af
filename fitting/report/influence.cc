#include "fitting/report/influence.h"

#include <cmath>

#include "absl/strings/str_format.h"

namespace allometry::fitting {
namespace {

constexpr int kFewestSizes = 5, kMostSizes = 100;
constexpr size_t kMostPoints = 20000;
constexpr double kScatterFalls = 2;  // whole over left
constexpr double kLeastShift = .01;  // of ln L
constexpr double kShiftOverScatter = 3;

struct Scatter {
  double squares = 0;
  int points = 0;
  double rms() const { return points > 0 ? std::sqrt(squares / points) : 0; }
};

double LogResidual(const Problem& problem, const Sample& sample, const Theta& theta, size_t i) {
  const Objective of_logs{ObjectiveKind::kLsqLog, problem.objective.delta};
  return Residual(*problem.law, of_logs, sample, theta, i, nullptr);
}

}  // namespace

std::optional<Influence> FindInfluence(const DataView& view, const ParametricFit& fit) {
  if (!fit.optimum.exists || fit.optimum.refused || view.sample.size() > kMostPoints) {
    return std::nullopt;
  }
  const Clusters sizes = MakeClusters(view.points, Cluster::kParams);
  if (sizes.by != "params" || sizes.count < kFewestSizes || sizes.count > kMostSizes) {
    return std::nullopt;
  }
  const Problem& problem = fit.problem;
  const Sample& sample = view.sample;
  Scatter whole;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double residual = LogResidual(problem, sample, fit.optimum.theta, i);
    whole.squares += residual * residual;
    ++whole.points;
  }
  const Box box = Box::For(sample, *fit.problem.law);
  const std::vector<std::vector<int>> members = sizes.Members();
  std::optional<Influence> found;
  for (int left_out = 0; left_out < sizes.count; ++left_out) {
    Sample rest;
    rest.x_center = sample.x_center;
    rest.y_center = sample.y_center;
    rest.Reserve(sample.size());
    for (size_t i = 0; i < sample.size(); ++i) {
      if (sizes.of[i] != left_out) rest.Append(sample, i, 1);
    }
    if (rest.size() < static_cast<size_t>(problem.law->free) + 2) continue;
    const Refit refit = RefitFrom(problem, rest, fit.optimum.theta, box);
    if (!refit.converged || refit.at_bound) continue;
    Scatter left;
    double shift = 0;
    for (size_t i = 0; i < sample.size(); ++i) {
      const double residual = LogResidual(problem, sample, refit.theta, i);
      if (sizes.of[i] == left_out) {
        shift += residual / static_cast<double>(members[left_out].size());
      } else {
        left.squares += residual * residual;
        ++left.points;
      }
    }
    if (left.rms() * kScatterFalls > whole.rms() || std::abs(shift) < kLeastShift ||
        std::abs(shift) < kShiftOverScatter * left.rms()) {
      continue;
    }
    if (found && found->scatter_without <= left.rms()) continue;
    Influence influence;
    influence.params = view.points[members[left_out].front()].params;
    influence.points = static_cast<int64_t>(members[left_out].size());
    influence.shift = std::expm1(shift);
    influence.scatter = whole.rms();
    influence.scatter_without = left.rms();
    for (const Quantity& quantity : LawQuantities(*problem.law)) {
      if (quantity.logarithmic()) continue;  // A and B move with the exponents
      influence.parameters.push_back(
          {quantity.name(), quantity.Value(*problem.law, sample, fit.optimum.theta, nullptr),
           quantity.Value(*problem.law, rest, refit.theta, nullptr)});
    }
    found = std::move(influence);
  }
  return found;
}

std::string InfluenceText(const Influence& influence) {
  std::string text = absl::StrFormat(
      "influence: the %d points of N = %.4g lie %.1f %% %s what the other sizes say; without them "
      "the parametric fit scatters by %.2g %% and not %.2g %%, and",
      influence.points, influence.params, 100 * std::abs(influence.shift),
      influence.shift > 0 ? "above" : "below", 100 * influence.scatter_without,
      100 * influence.scatter);
  bool first = true;
  for (const Influence::Parameter& one : influence.parameters) {
    absl::StrAppendFormat(&text, "%s %s %.4g becomes %.4g", first ? "" : ",", one.name, one.with,
                          one.without);
    first = false;
  }
  absl::StrAppend(&text, ". A size that was trained badly looks so");
  return text;
}

}  // namespace allometry::fitting
