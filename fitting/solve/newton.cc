#include "fitting/solve/newton.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>

#include "fitting/law/formula.h"

namespace allometry::fitting {
namespace {

using SmallVector = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, kMaxParameters, 1>;
using SmallMatrix =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, kMaxParameters, kMaxParameters>;

constexpr double kLongestStep = 2;  // in any coordinate: a factor of 7 in A, B or E

bool HeldAt(const Box& box, const Theta& theta, const Theta& gradient, int i) {
  return (theta[i] <= box.lower[i] && gradient[i] > 0) ||
         (theta[i] >= box.upper[i] && gradient[i] < 0);
}

// -|H|^-1 g, where |H| has the absolute values of H's eigenvalues, floored.
SmallVector Descend(const SmallMatrix& hessian, const SmallVector& gradient) {
  const Eigen::LLT<SmallMatrix> cholesky(hessian);
  if (cholesky.info() == Eigen::Success) {
    SmallVector step = -cholesky.solve(gradient);
    if (step.allFinite() && step.cwiseAbs().maxCoeff() < 1e3) return step;
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen{Eigen::MatrixXd(hessian)};
  const SmallVector sizes = eigen.eigenvalues().cwiseAbs();
  const double floor = std::max(1e-10 * sizes.maxCoeff(), 1e-300);
  SmallVector scaled = eigen.eigenvectors().transpose() * gradient;
  for (int i = 0; i < scaled.size(); ++i) scaled[i] /= std::max(sizes[i], floor);
  return -(eigen.eigenvectors() * scaled);
}

// The Newton step over the coordinates that may move, 0 in the others.
Theta Step(const Law& law, const Derivatives& at, const std::vector<int>& movable,
           const Eigen::MatrixXd& basis) {
  Theta step = Theta::Zero();
  if (basis.size() > 0) {
    const SmallMatrix hessian =
        basis.transpose() * at.hessian.topLeftCorner(law.free, law.free) * basis;
    const SmallVector gradient = basis.transpose() * at.gradient.head(law.free);
    step.head(law.free) = basis * Descend(hessian, gradient);
  } else {
    const int n = static_cast<int>(movable.size());
    SmallMatrix hessian(n, n);
    SmallVector gradient(n);
    for (int i = 0; i < n; ++i) {
      gradient[i] = at.gradient[movable[i]];
      for (int j = 0; j < n; ++j) hessian(i, j) = at.hessian(movable[i], movable[j]);
    }
    const SmallVector reduced = Descend(hessian, gradient);
    for (int i = 0; i < n; ++i) step[movable[i]] = reduced[i];
  }
  const double longest = step.cwiseAbs().maxCoeff();
  if (longest > kLongestStep) step *= kLongestStep / longest;
  return step;
}

double GradientNorm(const Objective& objective, const Derivatives& at,
                    const std::vector<int>& movable, const Eigen::MatrixXd& basis, int free) {
  double norm = 0;
  if (basis.size() > 0) {
    norm = (basis.transpose() * at.gradient.head(free)).cwiseAbs().maxCoeff();
  } else {
    for (int i : movable) norm = std::max(norm, std::abs(at.gradient[i]));
  }
  return norm / objective.scale();
}

bool Negligible(const Theta& step, const Theta& theta) {
  for (int i = 0; i < kMaxParameters; ++i) {
    if (step[i] != 0 && std::abs(step[i]) > 1e-16 * std::max(1.0, std::abs(theta[i]))) return false;
  }
  return true;
}

}  // namespace

Box Box::For(const Sample& sample, const Law& law) {
  double smallest = std::numeric_limits<double>::infinity();
  for (double log_loss : sample.log_loss) smallest = std::min(smallest, log_loss);
  Box box;
  const double infinity = std::numeric_limits<double>::infinity();
  box.lower << -infinity, -infinity, 0.002, 0.002, smallest + std::log(1e-6), std::log(0.05),
      -infinity, -infinity;
  box.upper << infinity, infinity, 10, 10, smallest + std::log(10.0), std::log(20.0), infinity,
      infinity;
  if (law.own != nullptr) {
    for (size_t k = 0; k < law.own->extras.size(); ++k) {
      box.lower[kLogE + 1 + k] = law.own->extras[k].lower;
      box.upper[kLogE + 1 + k] = law.own->extras[k].upper;
    }
  }
  return box;
}

NewtonResult Minimise(const Law& law, const Objective& objective, const Sample& sample,
                      const Theta& start, const Box& box, const NewtonOptions& options) {
  NewtonResult result;
  Theta theta = start;
  for (int i = 0; i < law.free; ++i) theta[i] = std::clamp(theta[i], box.lower[i], box.upper[i]);
  Derivatives at = Differentiate(law, objective, sample, theta);
  std::vector<int> movable;
  for (;; ++result.steps) {
    movable.clear();
    result.active.clear();
    for (int i = 0; i < law.free; ++i) {
      (HeldAt(box, theta, at.gradient, i) ? result.active : movable).push_back(i);
    }
    result.gradient_norm = GradientNorm(objective, at, movable, options.basis, law.free);
    if (result.gradient_norm == 0 || movable.empty()) result.converged = true;
    if (result.converged || result.steps >= options.max_steps) break;
    const Theta step = Step(law, at, movable, options.basis);
    if (!step.allFinite()) break;
    if (Negligible(step, theta)) {
      result.converged = true;
      break;
    }
    Theta next = theta;
    bool moved = false;
    for (double length = 1; length > 1e-8 && !moved; length *= 0.5) {
      for (int i = 0; i < law.free; ++i) {
        next[i] = std::clamp(theta[i] + length * step[i], box.lower[i], box.upper[i]);
      }
      const double slope = at.gradient.head(law.free).dot((next - theta).head(law.free));
      // Rounding hides a smaller fall: leave it to the gradient below.
      if (slope > -1e-13 * at.value) break;
      Derivatives there = Differentiate(law, objective, sample, next);
      if (there.value <= at.value + 1e-4 * slope) {
        moved = true;
        at = there;
      }
    }
    if (!moved) {
      for (int i = 0; i < law.free; ++i) {
        next[i] = std::clamp(theta[i] + step[i], box.lower[i], box.upper[i]);
      }
      Derivatives there = Differentiate(law, objective, sample, next);
      const double norm = GradientNorm(objective, there, movable, options.basis, law.free);
      if (!(norm < 0.9 * result.gradient_norm) || !(there.value <= at.value * (1 + 1e-9))) {
        result.converged = step.cwiseAbs().maxCoeff() < 1e-9;
        break;
      }
      at = there;
    }
    theta = next;
  }
  result.theta = theta;
  result.at = at;
  return result;
}

}  // namespace allometry::fitting
