#include "fitting/method/loss_compute.h"

#include <ceres/ceres.h>

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::fitting {
namespace {

constexpr double kLowestFloor = 0.1;
constexpr double kSteepest = 1;
constexpr size_t kFewestPoints = 5;  // three parameters and two more

struct Curve {
  std::vector<double> u, loss;  // ln(C / C_ref), L
  std::vector<double> weight;
};

// The best (E, e) within bounds at a given c, and their sum of squares.
std::array<double, 3> AtExponent(const Curve& curve, double c) {
  double n = 0, x = 0, xx = 0, y = 0, xy = 0;
  for (size_t i = 0; i < curve.u.size(); ++i) {
    const double power = std::exp(-c * curve.u[i]), w = curve.weight[i];
    n += w, x += w * power, xx += w * power * power;
    y += w * curve.loss[i], xy += w * power * curve.loss[i];
  }
  const double determinant = n * xx - x * x;
  double excess = determinant > 1e-12 * n * xx ? (n * xy - x * y) / determinant : 0;
  double floor = (y - excess * x) / n;
  if (excess < 0) excess = 0, floor = y / n;
  if (floor < kLowestFloor) {
    floor = kLowestFloor;
    excess = std::max(0.0, (xy - floor * x) / xx);
  }
  double squares = 0;
  for (size_t i = 0; i < curve.u.size(); ++i) {
    const double r = curve.loss[i] - floor - excess * std::exp(-c * curve.u[i]);
    squares += curve.weight[i] * r * r;
  }
  return {squares, floor, excess};
}

// L - E - e (C / C_ref)^-c at every point, over the parameters (E, e, c).
class CurveCost final : public ceres::CostFunction {
 public:
  explicit CurveCost(const Curve& curve) : curve_(curve) {
    set_num_residuals(static_cast<int>(curve.u.size()));
    mutable_parameter_block_sizes()->push_back(3);
  }

  bool Evaluate(double const* const* parameters, double* residuals,
                double** jacobians) const override {
    const double* p = parameters[0];
    for (size_t i = 0; i < curve_.u.size(); ++i) {
      const double power = std::exp(-p[2] * curve_.u[i]), root = std::sqrt(curve_.weight[i]);
      residuals[i] = root * (curve_.loss[i] - p[0] - p[1] * power);
      if (jacobians == nullptr || jacobians[0] == nullptr) continue;
      double* row = jacobians[0] + 3 * i;
      row[0] = -root;
      row[1] = -root * power;
      row[2] = root * p[1] * power * curve_.u[i];
    }
    return true;
  }

 private:
  const Curve& curve_;
};

// Ceres from a start (E, e, c), within the bounds.
std::array<double, 3> Descend(const Curve& curve, std::array<double, 3> p) {
  ceres::Problem::Options quick;
  quick.disable_all_safety_checks = true;
  ceres::Problem problem(quick);
  problem.AddResidualBlock(new CurveCost(curve), nullptr, p.data());
  problem.SetParameterLowerBound(p.data(), 0, kLowestFloor);
  problem.SetParameterLowerBound(p.data(), 1, 0);
  problem.SetParameterLowerBound(p.data(), 2, -kSteepest);
  problem.SetParameterUpperBound(p.data(), 2, kSteepest);
  ceres::Solver::Options options;
  options.linear_solver_type = ceres::DENSE_QR;
  options.max_num_iterations = 40;
  options.function_tolerance = 1e-10;
  options.parameter_tolerance = 1e-12;
  options.gradient_tolerance = 1e-15;
  options.logging_type = ceres::SILENT;
  const std::array<double, 3> start = p;
  ceres::Solver::Summary summary;
  ceres::Solve(options, &problem, &summary);
  return summary.IsSolutionUsable() ? p : start;
}

struct Normal {
  Eigen::Matrix3d information = Eigen::Matrix3d::Zero();  // over (E, ln e, c)
  Eigen::Vector3d gradient = Eigen::Vector3d::Zero();     // of the sum of squares
  double squares = 0;
};

Normal MakeNormal(const Curve& curve, const std::array<double, 3>& p) {
  Normal normal;
  for (size_t i = 0; i < curve.u.size(); ++i) {
    const double power = p[1] * std::exp(-p[2] * curve.u[i]);
    const Eigen::Vector3d row(1, power, -power * curve.u[i]);
    const double r = curve.loss[i] - p[0] - power, w = curve.weight[i];
    normal.information += w * row * row.transpose();
    normal.gradient -= 2 * w * r * row;
    normal.squares += w * r * r;
  }
  // Parameters at a bound stay there.
  const bool held[3] = {p[0] <= kLowestFloor, p[1] <= 0, std::abs(p[2]) >= kSteepest};
  for (int k = 0; k < 3; ++k) {
    if (held[k]) normal.gradient[k] = 0;
  }
  return normal;
}

// Gauss-Newton steps from where Ceres stopped, to the last digits.
Normal Polish(const Curve& curve, std::array<double, 3>& p) {
  Normal at = MakeNormal(curve, p);
  for (int step = 0; step < 20; ++step) {
    Eigen::Matrix3d information = at.information;
    for (int k = 0; k < 3; ++k) {
      if (at.gradient[k] != 0) continue;
      information.row(k).setZero();
      information.col(k).setZero();
      information(k, k) = 1;
    }
    const Eigen::Vector3d move = -0.5 * information.ldlt().solve(at.gradient);
    if (!move.allFinite()) break;
    const std::array<double, 3> next = {p[0] + move[0], p[1] * std::exp(move[1]), p[2] + move[2]};
    if (next[0] < kLowestFloor || std::abs(next[2]) > kSteepest) break;
    const Normal there = MakeNormal(curve, next);
    if (!(there.gradient.cwiseAbs().maxCoeff() < 0.5 * at.gradient.cwiseAbs().maxCoeff()) ||
        !(there.squares <= at.squares * (1 + 1e-9) + 1e-28)) {
      break;
    }
    p = next;
    at = there;
  }
  return at;
}

Curve MakeCurve(const std::vector<FrontierPoint>& points, double log_reference,
                const std::vector<double>* weights) {
  Curve curve;
  for (size_t i = 0; i < points.size(); ++i) {
    curve.u.push_back(points[i].log_flops - log_reference);
    curve.loss.push_back(std::exp(points[i].log_loss));
    curve.weight.push_back(weights != nullptr ? (*weights)[i] : 1);
  }
  return curve;
}

}  // namespace

std::optional<Eigen::Matrix3d> LossCovariance(const std::vector<FrontierPoint>& points,
                                              const std::vector<double>* weights,
                                              const LossCompute& fit) {
  if (!fit.solved || fit.refused || points.size() < 4) return std::nullopt;
  const Curve curve = MakeCurve(points, fit.log_reference, weights);
  double p[3] = {fit.floor, fit.excess, fit.exponent};
  ceres::Problem problem;
  problem.AddResidualBlock(new CurveCost(curve), nullptr, p);
  ceres::Covariance::Options options;
  options.algorithm_type = ceres::DENSE_SVD;
  ceres::Covariance covariance(options);
  const std::vector<std::pair<const double*, const double*>> blocks = {{p, p}};
  if (!covariance.Compute(blocks, &problem)) return std::nullopt;
  Eigen::Matrix<double, 3, 3, Eigen::RowMajor> block;
  covariance.GetCovarianceBlock(p, p, block.data());
  return block * (fit.value / static_cast<double>(points.size() - 3));
}

double LossCompute::Loss(double flops) const {
  return floor + excess * std::exp(-exponent * (std::log(flops) - log_reference));
}

LossCompute FitLossCompute(const std::vector<FrontierPoint>& points, double log_reference,
                           const std::vector<double>* weights) {
  LossCompute fit;
  if (points.size() < kFewestPoints) {
    fit.refused = absl::StrFormat("%d frontier points for 3 parameters: at least %d are needed",
                                  points.size(), kFewestPoints);
    return fit;
  }
  fit.log_reference = log_reference != 0
                          ? log_reference
                          : 0.5 * (points.front().log_flops + points.back().log_flops);
  const Curve curve = MakeCurve(points, fit.log_reference, weights);
  constexpr int kGrid = 20;  // to each side of c = 0, where E and e cannot be told apart
  std::vector<std::array<double, 3>> grid;
  std::vector<double> exponents;
  for (int k = -kGrid; k <= kGrid; ++k) {
    if (k == 0) continue;
    exponents.push_back(kSteepest * k / kGrid);
    grid.push_back(AtExponent(curve, exponents.back()));
  }
  std::vector<double> values;
  fit.value = std::numeric_limits<double>::infinity();
  for (size_t k = 0; k < grid.size(); ++k) {
    if (k > 0 && grid[k - 1][0] <= grid[k][0]) continue;
    if (k + 1 < grid.size() && grid[k + 1][0] < grid[k][0]) continue;
    double c = Descend(curve, {grid[k][1], grid[k][2], exponents[k]})[2];
    // A bound is met exactly or not at all: E and e are linear, and their best values are known.
    if (std::abs(c) > kSteepest * (1 - 1e-9)) c = std::copysign(kSteepest, c);
    const std::array<double, 3> at = AtExponent(curve, c);
    std::array<double, 3> parameters = {at[1], at[2], c};
    const double value = Polish(curve, parameters).squares;
    if (!std::isfinite(value)) continue;
    values.push_back(value);
    if (value >= fit.value) continue;
    fit.value = value;
    fit.floor = parameters[0], fit.excess = parameters[1], fit.exponent = parameters[2];
  }
  fit.starts = static_cast<int>(values.size());
  for (double value : values) fit.starts_at_optimum += value <= fit.value * (1 + 1e-8) + 1e-28;
  fit.solved = fit.starts > 0;
  if (!fit.solved) {
    fit.refused = "the solver failed from every start";
    return fit;
  }
  if (fit.floor <= kLowestFloor) fit.active_bounds.push_back("E >= 0.1");
  if (fit.excess <= 0) fit.active_bounds.push_back("c0 >= 0");
  if (std::abs(fit.exponent) >= kSteepest) {
    fit.active_bounds.push_back(fit.exponent > 0 ? "c <= 1" : "c >= -1");
  }
  const Normal normal = MakeNormal(curve, {fit.floor, fit.excess, fit.exponent});
  fit.gradient_norm = normal.gradient.cwiseAbs().maxCoeff();
  const Eigen::SelfAdjointEigenSolver<Eigen::Matrix3d> eigen(normal.information);
  if (eigen.eigenvalues()[0] > 1e-16 * eigen.eigenvalues()[2]) {
    fit.condition_number = eigen.eigenvalues()[2] / eigen.eigenvalues()[0];
  }
  if (!fit.active_bounds.empty()) {
    fit.refused = absl::StrFormat("bound active: %s; the data do not identify the law",
                                  absl::StrJoin(fit.active_bounds, ", "));
  } else if (!(eigen.eigenvalues()[0] > 1e-13 * eigen.eigenvalues()[2])) {
    fit.refused = "rank-deficient: E, c and the excess cannot be told apart";
  }
  return fit;
}

}  // namespace allometry::fitting
