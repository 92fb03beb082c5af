#include "fitting/solve/lad.h"

#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <numeric>

namespace allometry::fitting {
namespace {

using Row = Eigen::Matrix<double, 1, Eigen::Dynamic, Eigen::RowMajor, 1, kMaxParameters>;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using SmallVector = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, kMaxParameters, 1>;
using SmallMatrix =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, kMaxParameters, kMaxParameters>;

constexpr double kPromise = 1e-6;  // relative fall of the objective not worth a refusal

// The problem min_d sum w |r - J d| and the vertex it is at.
struct Linear {
  Rows jacobian;
  std::vector<double> residual, weight;
  std::vector<int> basis;
  SmallVector step;
  double value = 0;  // sum w |r - J step|
  double largest_multiplier = 0;
};

// The p points of smallest residual whose rows are independent, by Gram-Schmidt.
bool ChooseBasis(Linear& problem) {
  const int p = static_cast<int>(problem.jacobian.cols());
  std::vector<int> order(problem.residual.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    const double ra = std::abs(problem.residual[a]), rb = std::abs(problem.residual[b]);
    return ra != rb ? ra < rb : a < b;
  });
  // A demanding threshold first: a badly conditioned vertex costs exchanges later.
  for (double threshold : {3e-2, 1e-3, 1e-6, 1e-9}) {
    problem.basis.clear();
    std::vector<Row> directions;
    for (int i : order) {
      Row row = problem.jacobian.row(i);
      const double norm = row.norm();
      for (const Row& direction : directions) row -= row.dot(direction) * direction;
      if (!(row.norm() > threshold * norm)) continue;
      directions.push_back(row / row.norm());
      problem.basis.push_back(i);
      if (static_cast<int>(problem.basis.size()) == p) return true;
    }
  }
  return false;
}

// Exchanges zero residuals until every multiplier is within [-1, 1].
bool Solve(Linear& problem) {
  const int p = static_cast<int>(problem.jacobian.cols());
  const int n = static_cast<int>(problem.residual.size());
  double scale = 0;
  for (double r : problem.residual) scale = std::max(scale, std::abs(r));
  std::vector<double> rest(n);
  std::vector<std::pair<double, int>> breaks;
  std::vector<char> basic(n);
  SmallMatrix vertex(p, p);
  for (int exchange = 0; exchange < 500; ++exchange) {
    std::fill(basic.begin(), basic.end(), 0);
    SmallVector right(p);
    for (int k = 0; k < p; ++k) {
      vertex.row(k) = problem.jacobian.row(problem.basis[k]);
      right[k] = problem.residual[problem.basis[k]];
      basic[problem.basis[k]] = 1;
    }
    const Eigen::PartialPivLU<SmallMatrix> lu(vertex);
    problem.step = lu.solve(right);
    if (!problem.step.allFinite()) return false;
    Row pull = Row::Zero(p);
    problem.value = 0;
    for (int i = 0; i < n; ++i) {
      rest[i] = basic[i] ? 0 : problem.residual[i] - problem.jacobian.row(i).dot(problem.step);
      if (std::abs(rest[i]) <= 1e-15 * (scale + 1)) rest[i] = 0;
      problem.value += problem.weight[i] * std::abs(rest[i]);
      if (rest[i] != 0) {
        pull += std::copysign(problem.weight[i], rest[i]) * problem.jacobian.row(i);
      }
    }
    SmallVector multipliers = lu.transpose().solve(-pull.transpose());
    int leaving = -1;
    problem.largest_multiplier = 0;
    for (int k = 0; k < p; ++k) {
      multipliers[k] /= problem.weight[problem.basis[k]];
      if (std::abs(multipliers[k]) > problem.largest_multiplier) {
        problem.largest_multiplier = std::abs(multipliers[k]);
        leaving = k;
      }
    }
    if (problem.largest_multiplier <= 1 + 1e-10) return true;
    SmallVector unit = SmallVector::Zero(p);
    unit[leaving] = -std::copysign(1.0, multipliers[leaving]);
    const SmallVector direction = lu.solve(unit);
    double slope = problem.weight[problem.basis[leaving]] * (1 - problem.largest_multiplier);
    breaks.clear();
    for (int i = 0; i < n; ++i) {
      if (basic[i] || rest[i] == 0) continue;
      const double change = problem.jacobian.row(i).dot(direction);
      if (change * rest[i] > 0 && std::abs(change) > 1e-14) breaks.push_back({rest[i] / change, i});
    }
    std::sort(breaks.begin(), breaks.end());
    int entering = -1;
    for (const auto& [at, i] : breaks) {
      slope += 2 * problem.weight[i] * std::abs(problem.jacobian.row(i).dot(direction));
      if (slope >= 0) {
        entering = i;
        break;
      }
    }
    if (entering < 0) return false;
    problem.basis[leaving] = entering;
  }
  return false;
}

}  // namespace

LadResult MinimiseLad(const Law& law, const Sample& sample, const Theta& start, const Box& box,
                      const std::vector<int>& held) {
  const Objective objective{ObjectiveKind::kLad, 0};
  std::vector<int> movable;
  for (int i = 0; i < law.free; ++i) {
    if (std::find(held.begin(), held.end(), i) == held.end()) movable.push_back(i);
  }
  const int p = static_cast<int>(movable.size());
  const int n = static_cast<int>(sample.size());
  LadResult result;
  result.theta = start;
  result.value = Value(law, objective, sample, start);
  Linear problem;
  problem.jacobian.resize(n, p);
  problem.residual.resize(n);
  problem.weight = sample.weight;
  if (n < p || p == 0) return result;
  for (int outer = 0; outer < 60; ++outer) {
    for (int i = 0; i < n; ++i) {
      Theta gradient;
      problem.residual[i] = Residual(law, objective, sample, result.theta, i, &gradient);
      for (int k = 0; k < p; ++k) problem.jacobian(i, k) = gradient[movable[k]];
    }
    if (problem.basis.empty() && !ChooseBasis(problem)) return result;
    const bool solved = Solve(problem);
    result.zeros = problem.basis;
    result.largest_multiplier = problem.largest_multiplier;
    if (!problem.step.allFinite()) return result;
    const double longest = problem.step.cwiseAbs().maxCoeff();
    Theta next = result.theta;
    bool moved = false;
    for (double length = std::min(1.0, 2 / std::max(longest, 1e-300)); length > 1e-6;
         length *= 0.5) {
      for (int k = 0; k < p; ++k) {
        const int i = movable[k];
        next[i] =
            std::clamp(result.theta[i] + length * problem.step[k], box.lower[i], box.upper[i]);
      }
      const double value = Value(law, objective, sample, next);
      // The last step is judged by its length: rounding hides its gain.
      if (value < result.value || (length == 1 && longest < 1e-9)) {
        result.theta = next;
        result.value = value;
        moved = true;
        break;
      }
    }
    if (solved && longest < 1e-13) {
      result.converged = result.largest_multiplier <= 1 + 1e-8;
      return result;
    }
    // Rarely curvature holds the optimum off a vertex: the linear problem still sees a step, which
    // does not help. What it promises at most bounds how far the objective is from its optimum.
    result.converged = solved && result.largest_multiplier <= 1 + 1e-8 &&
                       (longest < 1e-9 || result.value - problem.value <= kPromise * result.value);
    if (!moved) return result;
  }
  return result;
}

}  // namespace allometry::fitting
