#include "fitting/interval/profile.h"

#include <Eigen/Dense>
#include <cmath>
#include <numbers>

#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr double kChiSquared95 = 3.841458820694124;

double HuberNormaliser(double s, double delta) {
  const double ratio = delta / std::sqrt(s);
  return std::sqrt(2 * std::numbers::pi * s) * (2 * NormalCdf(ratio) - 1) +
         2 * (s / delta) * std::exp(-0.5 * ratio * ratio);
}

// Twice the log-likelihood at objective value f, maximised over the scale.
double TwiceLogLikelihood(const Objective& objective, double f, double n) {
  if (objective.squares()) return -n * std::log(f);
  if (objective.kind == ObjectiveKind::kLad) return -2 * n * std::log(f);
  // Unimodal in ln s: golden section.
  const auto value = [&](double log_s) {
    const double s = std::exp(log_s);
    return -2 * n * std::log(HuberNormaliser(s, objective.delta)) - 2 * f / s;
  };
  double low = std::log(f / n) - 10, high = std::log(f / n) + 10;
  const double golden = 0.5 * (std::sqrt(5.0) - 1);
  for (int i = 0; i < 100; ++i) {
    const double a = high - golden * (high - low), b = low + golden * (high - low);
    (value(a) > value(b) ? high : low) = value(a) > value(b) ? b : a;
  }
  return value(0.5 * (low + high));
}

// The linear constraint direction'theta = level that fixes a quantity at q.
struct Constraint {
  Theta direction;
  double level;
};

Constraint Fix(const Quantity& quantity, const Law& law, const Sample& sample, double q) {
  Constraint constraint{Theta::Zero(), q};
  switch (quantity.kind) {
    case QuantityKind::kA:
      constraint.direction[kAlpha] = q;
      constraint.direction[kBeta] = q - 1;
      constraint.level = 0;
      break;
    case QuantityKind::kFloor:
      constraint.direction[kLogE] = 1;
      constraint.level = std::log(q);
      break;
    default: {
      Theta ignored = Theta::Zero();
      quantity.Value(law, sample, ignored, &constraint.direction);
    }
  }
  return constraint;
}

// The least objective with the constraint, from a start that is moved onto it.
NewtonResult Constrained(const Problem& problem, const Sample& sample, const Box& box,
                         const Constraint& constraint, const Theta& start,
                         const Objective& objective) {
  const int p = problem.law->free;
  const Eigen::VectorXd direction = constraint.direction.head(p);
  Theta theta = start;
  theta.head(p) +=
      direction * ((constraint.level - direction.dot(start.head(p))) / direction.squaredNorm());
  const Eigen::MatrixXd q = Eigen::HouseholderQR<Eigen::MatrixXd>(direction).householderQ() *
                            Eigen::MatrixXd::Identity(p, p);
  NewtonOptions options;
  options.basis = q.rightCols(p - 1);
  return Minimise(*problem.law, objective, sample, theta, box, options);
}

}  // namespace

std::vector<NamedEstimate> ProfileIntervals(const Problem& problem, const Sample& sample,
                                            const Optimum& optimum) {
  std::vector<NamedEstimate> result;
  const Law& law = *problem.law;
  const Box box = Box::For(sample, *problem.law);
  const double n = static_cast<double>(sample.size());
  // A vertex has no Newton step: LAD's profile is that of a Huber loss with a tiny delta, whose
  // value differs from sum |r| by less than n delta / 2 once divided by delta.
  Objective objective = problem.objective;
  const bool lad = objective.kind == ObjectiveKind::kLad;
  if (lad) objective = {ObjectiveKind::kHuber, 1e-4 * optimum.value / n};
  const auto deviance_at = [&](double f) {
    const double value = lad ? f / objective.delta + 0.5 * n * objective.delta : f;
    return TwiceLogLikelihood(problem.objective, optimum.value, n) -
           TwiceLogLikelihood(problem.objective, value, n);
  };
  const Eigen::MatrixXd covariance =
      Information(problem, sample, optimum.theta).topLeftCorner(law.free, law.free).inverse();
  double squares = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double r = Residual(law, problem.objective, sample, optimum.theta, i, nullptr);
    squares += r * r;
  }
  for (const Quantity& quantity : LawQuantities(law)) {
    if (quantity.kind == QuantityKind::kGamma || quantity.kind == QuantityKind::kB) continue;
    if (quantity.kind == QuantityKind::kFloor && law.free <= kLogE) continue;
    Theta gradient;
    const double center = quantity.Value(law, sample, optimum.theta, &gradient);
    const double width =
        std::sqrt(std::max(0.0, gradient.head(law.free).dot(covariance * gradient.head(law.free))) *
                  squares / std::max(1.0, n - law.free));
    NamedEstimate named{quantity.name(), {}};
    const auto shown = [&](double q) { return quantity.logarithmic() ? std::exp(q) : q; };
    named.value.estimate = shown(center);
    for (int side : {-1, 1}) {
      Theta from = optimum.theta;
      const auto deviance = [&](double q) {
        const NewtonResult refit =
            Constrained(problem, sample, box, Fix(quantity, law, sample, q), from, objective);
        from = refit.theta;
        return deviance_at(refit.at.value);
      };
      const double least =
          quantity.kind == QuantityKind::kFloor || quantity.kind == QuantityKind::kAlpha ||
                  quantity.kind == QuantityKind::kBeta || quantity.kind == QuantityKind::kA
              ? 1e-3 * center
              : -1e300;
      double inside = center, outside = center;
      bool found = false;
      for (int k = 1; k <= 40 && width > 0 && !found; ++k) {
        outside = center + side * k * width;
        if (outside < least) break;
        found = deviance(outside) > kChiSquared95;
        if (!found) inside = outside;
      }
      if (!found) continue;
      for (int k = 0; k < 40; ++k) {
        const double middle = 0.5 * (inside + outside);
        (deviance(middle) > kChiSquared95 ? outside : inside) = middle;
      }
      (side < 0 ? named.value.lower : named.value.upper) = shown(inside);
    }
    result.push_back(named);
    if (quantity.kind == QuantityKind::kA) {  // b = 1 - a: the same profile seen from the other end
      NamedEstimate b{"b", {}};
      b.value.estimate = 1 - *named.value.estimate;
      if (named.value.upper) b.value.lower = 1 - *named.value.upper;
      if (named.value.lower) b.value.upper = 1 - *named.value.lower;
      result.push_back(b);
    }
  }
  return result;
}

}  // namespace allometry::fitting
