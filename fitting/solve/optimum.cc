#include "fitting/solve/optimum.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "fitting/law/formula.h"
#include "fitting/solve/ceres_descent.h"
#include "fitting/solve/lad.h"
#include "fitting/solve/starts.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr double kRankDeficient = 1e-12;  // eigenvalue ratio of J'J: rounding noise is ~1e-15
constexpr double kFlat = 1e-7;            // a direction worth naming

struct Descent {
  Theta theta = Theta::Zero();
  double value = 0;
  double certificate = 0;  // gradient norm, or the largest multiplier
  bool converged = false;
  std::vector<int> active;
};

double MedianResidual(const Problem& problem, const Sample& sample, const Theta& theta) {
  std::vector<double> sizes(sample.size());
  for (size_t i = 0; i < sample.size(); ++i) {
    sizes[i] =
        std::abs(Residual(*problem.law, {ObjectiveKind::kLad, 0}, sample, theta, i, nullptr));
  }
  return Median(std::move(sizes));
}

Descent FinishLad(const Problem& problem, const Sample& sample, const NewtonResult& near,
                  const Box& box) {
  LadResult lad = MinimiseLad(*problem.law, sample, near.theta, box, near.active);
  // Off a vertex curvature decides, and a nearly unsmoothed Huber loss still has it.
  for (double delta = 1e-5; !lad.converged && delta > 1e-9; delta /= 10) {
    const NewtonResult smooth =
        Minimise(*problem.law, {ObjectiveKind::kHuber, delta}, sample, lad.theta, box);
    const LadResult again = MinimiseLad(*problem.law, sample, smooth.theta, box, smooth.active);
    if (again.value < lad.value) lad = again;
  }
  return {lad.theta, lad.value, lad.largest_multiplier, lad.converged, near.active};
}

bool Better(const Descent& a, const Descent& b) {
  if (std::isfinite(a.value) != std::isfinite(b.value)) return std::isfinite(a.value);
  return a.value < b.value;
}

constexpr double kSameStart = 1e-3;  // of theta, after the first descent: one basin

// The objective that Ceres minimises first: squares themselves, or a Huber loss of the residuals'
// own size, whose quadratic zone is not empty.
Objective FirstObjective(const Problem& problem, const Sample& sample, const Theta& start) {
  if (problem.objective.squares()) return problem.objective;
  double delta = std::max(MedianResidual(problem, sample, start), 1e-12);
  if (problem.objective.kind == ObjectiveKind::kHuber) {
    delta = std::max(delta, problem.objective.delta);
  }
  return {ObjectiveKind::kHuber, delta};
}

// From where Ceres ended: a few Newton steps on Huber losses with falling delta, then Ceres on the
// wanted objective and Newton, or the vertex of least absolute deviations.
Descent Finish(const Problem& problem, const Sample& sample, const Theta& start, const Box& box) {
  const bool lad = problem.objective.kind == ObjectiveKind::kLad;
  Theta theta = start;
  NewtonResult newton;
  newton.theta = theta;
  if (!problem.objective.squares()) {
    NewtonOptions few;
    few.max_steps = 12;
    double delta = std::max(MedianResidual(problem, sample, theta), 1e-12);
    for (int stage = 0; stage < 40; ++stage) {
      if (!lad && delta <= problem.objective.delta) break;
      newton = Minimise(*problem.law, {ObjectiveKind::kHuber, delta}, sample, theta, box, few);
      theta = newton.theta;
      const double median = MedianResidual(problem, sample, theta);
      if (lad && (delta <= 0.02 * median || delta <= 1e-11)) break;
      delta = std::min(delta / 4, std::max(median, 1e-12));
    }
  }
  if (lad) return FinishLad(problem, sample, newton, box);
  const CeresResult ceres = MinimiseWithCeres(*problem.law, problem.objective, sample, theta, box);
  if (ceres.usable) theta = ceres.theta;
  newton = Minimise(*problem.law, problem.objective, sample, theta, box);
  return {newton.theta, newton.at.value, newton.gradient_norm, newton.converged, newton.active};
}

// By Ceres, and by Newton on Huber losses of falling delta: from a start that is decades away one
// of the two may stop at a floor of zero.
Descent DescendFromAfar(const Problem& problem, const Sample& sample, const Theta& start,
                        const Box& box) {
  const CeresResult ceres =
      MinimiseWithCeres(*problem.law, FirstObjective(problem, sample, start), sample, start, box);
  const Descent own = Finish(problem, sample, start, box);
  if (!ceres.usable) return own;
  const Descent theirs = Finish(problem, sample, ceres.theta, box);
  return Better(theirs, own) ? theirs : own;
}

// Every start by Ceres; those that came to one basin are finished once.
std::vector<Descent> DescendFromAll(const Problem& problem, const Sample& sample,
                                    const std::vector<Theta>& starts, const Box& box) {
  CeresOptions rough;
  rough.max_iterations = 25;
  rough.function_tolerance = 1e-6;
  std::vector<Theta> basins;
  std::vector<Descent> finished, all;
  for (const Theta& start : starts) {
    const CeresResult ceres = MinimiseWithCeres(
        *problem.law, FirstObjective(problem, sample, start), sample, start, box, rough);
    const Theta theta = ceres.usable ? ceres.theta : start;
    size_t known = 0;
    while (known < basins.size() &&
           !((basins[known] - theta).head(problem.law->free).cwiseAbs().maxCoeff() < kSameStart)) {
      ++known;
    }
    if (known == basins.size()) {
      basins.push_back(theta);
      finished.push_back(Finish(problem, sample, theta, box));
    }
    all.push_back(finished[known]);
  }
  return all;
}

Descent DescendFromNear(const Problem& problem, const Sample& sample, const Theta& start,
                        const Box& box) {
  if (problem.objective.kind == ObjectiveKind::kLad) {
    NewtonResult near;
    near.theta = start;
    return FinishLad(problem, sample, near, box);
  }
  const NewtonResult newton = Minimise(*problem.law, problem.objective, sample, start, box);
  return {newton.theta, newton.at.value, newton.gradient_norm, newton.converged, newton.active};
}

// What rounding alone puts into the objective of a perfect fit.
double Rounding(const Problem& problem, const Sample& sample) {
  const double n = static_cast<double>(sample.size());
  const double largest = *std::max_element(sample.loss.begin(), sample.loss.end());
  const double residual = 4e-15 * (problem.objective.of_loss() ? std::max(1.0, largest) : 1);
  return n * (problem.objective.kind == ObjectiveKind::kLad ? residual : residual * residual);
}

// Every k-th point of the sample, so that all sizes and curves keep their share.
Sample Thin(const Sample& sample, size_t points) {
  Sample thin;
  thin.x_center = sample.x_center;
  thin.y_center = sample.y_center;
  thin.Reserve(points);
  for (size_t k = 0; k < points; ++k) {
    thin.Append(sample, k * (sample.size() - 1) / (points - 1), 1);
  }
  return thin;
}

std::string Direction(const Law& law, const Eigen::VectorXd& direction) {
  // Names as the entries of theta are: logarithms of A, B, E, gamma.
  const auto name = [&](int i) -> std::string {
    const bool extra = law.own != nullptr && i > kLogE;
    const bool of_log =
        extra ? law.own->extras[i - kLogE - 1].logarithmic : i != kAlpha && i != kBeta;
    return absl::StrCat(of_log ? "ln " : "", law.ParameterName(i));
  };
  std::string text;
  double sign = 0;
  for (int i = 0; i < law.free; ++i) {
    if (std::abs(direction[i]) < 0.1) continue;
    if (sign == 0) sign = direction[i] > 0 ? 1 : -1;
    absl::StrAppendFormat(&text, "%s%.2f %s",
                          text.empty()              ? ""
                          : direction[i] * sign > 0 ? " + "
                                                    : " - ",
                          std::abs(direction[i]), name(i));
  }
  return text;
}

// Fills conditioning, flat directions and active bounds, and refuses where the data cannot say.
void Judge(const Problem& problem, const Sample& sample, Optimum& optimum) {
  const Law& law = *problem.law;
  Certificate& certificate = optimum.certificate;
  const Eigen::MatrixXd information =
      Information(problem, sample, optimum.theta).topLeftCorner(law.free, law.free);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(information);
  const double largest = eigen.eigenvalues()[law.free - 1];
  for (int k = 0; k < law.free; ++k) {
    if (eigen.eigenvalues()[k] < kFlat * largest) {
      certificate.flat_directions.push_back(Direction(law, eigen.eigenvectors().col(k)));
    }
  }
  const double smallest = std::max(eigen.eigenvalues()[0], 0.0);
  if (smallest > 1e-16 * largest) certificate.condition_number = largest / smallest;
  std::string bounds;
  for (int i : optimum.active) {
    const std::string name = law.ParameterName(i);
    certificate.active_bounds.push_back(name);
    absl::StrAppend(&bounds, bounds.empty() ? "" : " and ", i == kLogE ? "E at zero" : name);
    if (i != kLogE) absl::StrAppendFormat(&bounds, " at its bound %.3g", optimum.theta[i]);
  }
  if (!bounds.empty()) {
    optimum.refused = absl::StrFormat(
        "%s: the data do not identify the law%s", bounds,
        bounds.find("E at zero") == std::string::npos ? "" : " (law no-floor fits without E)");
  } else if (smallest <= kRankDeficient * largest) {
    optimum.refused = absl::StrFormat(
        "rank-deficient: the data do not see the direction %s of the parameters",
        certificate.flat_directions.empty() ? "" : certificate.flat_directions.front());
  }
}

}  // namespace

ThetaMatrix Information(const Problem& problem, const Sample& sample, const Theta& theta) {
  ThetaMatrix sum = ThetaMatrix::Zero();
  Theta gradient;
  for (size_t i = 0; i < sample.size(); ++i) {
    Residual(*problem.law, problem.objective, sample, theta, i, &gradient);
    sum.noalias() += sample.weight[i] * gradient * gradient.transpose();
  }
  return sum;
}

Refit RefitFrom(const Problem& problem, const Sample& sample, const Theta& start, const Box& box) {
  Descent descent = DescendFromNear(problem, sample, start, box);
  // With every residual outside delta a Huber loss has no curvature to step by.
  if (!descent.converged && !problem.objective.squares()) {
    const Descent other = DescendFromAfar(problem, sample, start, box);
    if (other.converged || Better(other, descent)) descent = other;
  }
  return {descent.theta, descent.value, descent.converged, !descent.active.empty()};
}

Optimum FindOptimum(const Problem& problem, const Sample& sample) {
  const Law& law = *problem.law;
  Optimum optimum;
  if (sample.size() < static_cast<size_t>(law.free) + 2) {
    optimum.refused = absl::StrFormat("%d points for %d parameters: at least %d are needed",
                                      sample.size(), law.free, law.free + 2);
    return optimum;
  }
  const Box box = Box::For(sample, law);
  const bool large = sample.size() > kStartPoints;
  const Sample thin = large ? Thin(sample, kStartPoints) : Sample();
  const Sample& first = large ? thin : sample;
  std::vector<Descent> descents =
      DescendFromAll(problem, first, ProjectedStarts(problem, first, large ? 6 : 12), box);
  std::stable_sort(descents.begin(), descents.end(), Better);
  const double nearly = std::abs(descents.front().value) * 1e-8 + Rounding(problem, first);
  const auto reached = std::count_if(descents.begin(), descents.end(), [&](const Descent& d) {
    return d.value <= descents.front().value + nearly;
  });
  Descent best = descents.front();
  if (large) best = Finish(problem, sample, best.theta, box);
  optimum.theta = best.theta;
  optimum.value = best.value;
  optimum.active = best.active;
  optimum.exists = std::isfinite(best.value) && best.theta.head(law.free).allFinite();
  optimum.certificate.gradient_norm = best.certificate;
  optimum.certificate.starts = static_cast<int>(descents.size());
  optimum.certificate.starts_at_optimum = static_cast<int>(reached);
  if (!optimum.exists) {
    optimum.refused = "the objective is not finite at any start";
    return optimum;
  }
  Judge(problem, sample, optimum);
  if (!optimum.refused && !best.converged) {
    optimum.refused = absl::StrFormat("not converged: certificate %.3g", best.certificate);
  }
  return optimum;
}

}  // namespace allometry::fitting
