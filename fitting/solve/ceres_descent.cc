#include "fitting/solve/ceres_descent.h"

#include <ceres/ceres.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace allometry::fitting {
namespace {

// One point. Parameters: the law's free entries of theta.
class PointCost final : public ceres::CostFunction {
 public:
  PointCost(const Law& law, const Objective& objective, const Sample& sample, size_t i,
            const Theta& fixed)
      : law_(law), objective_(objective), sample_(sample), i_(i), fixed_(fixed) {
    set_num_residuals(1);
    mutable_parameter_block_sizes()->push_back(law.free);
  }

  bool Evaluate(double const* const* parameters, double* residuals,
                double** jacobians) const override {
    Theta theta = fixed_;
    std::copy(parameters[0], parameters[0] + law_.free, theta.data());
    Theta gradient;
    const bool derive = jacobians != nullptr && jacobians[0] != nullptr;
    residuals[0] = Residual(law_, objective_, sample_, theta, i_, derive ? &gradient : nullptr);
    if (derive) {
      for (int k = 0; k < law_.free; ++k) jacobians[0][k] = -gradient[k];
    }
    return std::isfinite(residuals[0]);
  }

 private:
  const Law& law_;
  const Objective objective_;
  const Sample& sample_;
  const size_t i_;
  const Theta& fixed_;
};

ceres::LossFunction* MakeLoss(const Objective& objective, double weight) {
  ceres::LossFunction* loss = nullptr;
  if (objective.kind == ObjectiveKind::kHuber || objective.kind == ObjectiveKind::kLad) {
    loss = new ceres::HuberLoss(objective.delta);
  }
  if (weight == 1) return loss;
  return new ceres::ScaledLoss(loss, weight, ceres::TAKE_OWNERSHIP);
}

void AddPoints(const Law& law, const Objective& objective, const Sample& sample, const Theta& fixed,
               double* parameters, ceres::Problem& problem) {
  problem.AddParameterBlock(parameters, law.free);
  for (size_t i = 0; i < sample.size(); ++i) {
    problem.AddResidualBlock(new PointCost(law, objective, sample, i, fixed),
                             MakeLoss(objective, sample.weight[i]), parameters);
  }
}

ceres::Problem::Options Quick() {
  ceres::Problem::Options options;
  options.disable_all_safety_checks = true;
  return options;
}

}  // namespace

CeresResult MinimiseWithCeres(const Law& law, const Objective& objective, const Sample& sample,
                              const Theta& start, const Box& box, const CeresOptions& options) {
  CeresResult result;
  result.theta = start;
  std::vector<double> parameters(law.free);
  for (int k = 0; k < law.free; ++k) {
    parameters[k] = std::clamp(start[k], box.lower[k], box.upper[k]);
  }
  ceres::Problem problem(Quick());
  AddPoints(law, objective, sample, start, parameters.data(), problem);
  for (int k = 0; k < law.free; ++k) {
    if (std::isfinite(box.lower[k])) {
      problem.SetParameterLowerBound(parameters.data(), k, box.lower[k]);
    }
    if (std::isfinite(box.upper[k])) {
      problem.SetParameterUpperBound(parameters.data(), k, box.upper[k]);
    }
  }
  ceres::Solver::Options solver;
  solver.minimizer_type = ceres::TRUST_REGION;
  solver.linear_solver_type = ceres::DENSE_QR;
  solver.max_num_iterations = options.max_iterations;
  solver.function_tolerance = options.function_tolerance;
  solver.gradient_tolerance = 1e-14;
  solver.parameter_tolerance = 1e-12;
  solver.num_threads = 1;
  solver.logging_type = ceres::SILENT;
  ceres::Solver::Summary summary;
  ceres::Solve(solver, &problem, &summary);
  result.iterations = static_cast<int>(summary.iterations.size());
  if (!summary.IsSolutionUsable()) return result;
  for (int k = 0; k < law.free; ++k) {
    if (!std::isfinite(parameters[k])) return result;
    result.theta[k] = parameters[k];
  }
  result.usable = true;
  return result;
}

}  // namespace allometry::fitting
