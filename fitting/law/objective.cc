#include "fitting/law/objective.h"

#include <algorithm>
#include <cmath>

#include "fitting/law/formula.h"

namespace allometry::fitting {
namespace {

struct Coefficients {
  double value, c1, c2;
};

inline Coefficients Term(const Objective& objective, double log_fitted, double log_loss,
                         double loss, double weight) {
  const double r = log_loss - log_fitted;
  switch (objective.kind) {
    case ObjectiveKind::kHuber: {
      const double size = std::abs(r);
      if (size <= objective.delta) return {0.5 * weight * r * r, weight * r, weight};
      return {weight * objective.delta * (size - 0.5 * objective.delta),
              weight * std::copysign(objective.delta, r), 0};
    }
    case ObjectiveKind::kLsqLog:
      return {weight * r * r, 2 * weight * r, 2 * weight};
    case ObjectiveKind::kLsq: {
      const double fitted = std::exp(log_fitted);
      const double difference = loss - fitted;
      return {weight * difference * difference, 2 * weight * difference * fitted,
              2 * weight * fitted * (fitted - difference)};
    }
    case ObjectiveKind::kLad:
      return {weight * std::abs(r), r == 0 ? 0 : std::copysign(weight, r), 0};
  }
  return {0, 0, 0};
}

// Adds k = c2 t t' - c1 T, given over z, to the Hessian over theta (upper triangle).
template <bool kCoupled>
inline void Expand(const LogLoss& law, double c1, double c2, double x, double y, ThetaMatrix& h) {
  const auto entry = [&](int i, int j) {
    return c2 * law.first[i] * law.first[j] - c1 * law.second[i][j];
  };
  const double uu = entry(0, 0), uv = entry(0, 1), ue = entry(0, 2);
  const double vv = entry(1, 1), ve = entry(1, 2), ee = entry(2, 2);
  h(0, 0) += uu, h(0, 1) += uv, h(0, 2) -= x * uu, h(0, 3) -= y * uv, h(0, 4) += ue;
  h(1, 1) += vv, h(1, 2) -= x * uv, h(1, 3) -= y * vv, h(1, 4) += ve;
  h(2, 2) += x * x * uu, h(2, 3) += x * y * uv, h(2, 4) -= x * ue;
  h(3, 3) += y * y * vv, h(3, 4) -= y * ve;
  h(4, 4) += ee;
  if constexpr (kCoupled) {
    const double ug = entry(0, 3), vg = entry(1, 3), eg = entry(2, 3), gg = entry(3, 3);
    h(0, 5) += ug, h(1, 5) += vg, h(2, 5) -= x * ug, h(3, 5) -= y * vg, h(4, 5) += eg;
    h(5, 5) += gg;
  }
}

template <bool kCoupled>
Derivatives Accumulate(const Law& law, const Objective& objective, const Sample& sample,
                       const Theta& theta) {
  Derivatives sum;
  LogLoss terms;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double x = sample.x[i], y = sample.y[i];
    EvaluateLaw<kCoupled>(theta, x, y, terms);
    const Coefficients term =
        Term(objective, terms.value, sample.log_loss[i], sample.loss[i], sample.weight[i]);
    sum.value += term.value;
    const double gu = term.c1 * terms.first[0], gv = term.c1 * terms.first[1];
    sum.gradient[0] -= gu, sum.gradient[1] -= gv;
    sum.gradient[2] += x * gu, sum.gradient[3] += y * gv;
    sum.gradient[4] -= term.c1 * terms.first[2];
    if constexpr (kCoupled) sum.gradient[5] -= term.c1 * terms.first[3];
    Expand<kCoupled>(terms, term.c1, term.c2, x, y, sum.hessian);
  }
  for (int i = 0; i < kMaxParameters; ++i) {
    for (int j = 0; j < i; ++j) sum.hessian(i, j) = sum.hessian(j, i);
  }
  for (int i = law.free; i < kMaxParameters; ++i) {
    sum.gradient[i] = 0;
    sum.hessian.row(i).setZero();
    sum.hessian.col(i).setZero();
  }
  return sum;
}

Derivatives AccumulateFormula(const Formula& own, const Objective& objective, const Sample& sample,
                              const Theta& theta) {
  Derivatives sum;
  Theta gradient;
  ThetaMatrix hessian;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double fitted =
        own.evaluate(theta, {sample.x[i], sample.y[i], sample.LogEpochs(i)}, &gradient, &hessian);
    const Coefficients term =
        Term(objective, fitted, sample.log_loss[i], sample.loss[i], sample.weight[i]);
    sum.value += term.value;
    sum.gradient -= term.c1 * gradient;
    sum.hessian += term.c2 * gradient * gradient.transpose() - term.c1 * hessian;
  }
  return sum;
}

}  // namespace

void Sample::Append(const Sample& other, size_t i, double times) {
  x.push_back(other.x[i]);
  y.push_back(other.y[i]);
  log_loss.push_back(other.log_loss[i]);
  loss.push_back(other.loss[i]);
  weight.push_back(other.weight[i] * times);
  if (!other.log_epochs.empty()) log_epochs.push_back(other.log_epochs[i]);
}

void Sample::Reserve(size_t points) {
  for (auto* column : {&x, &y, &log_loss, &loss, &weight}) column->reserve(points);
}

void Sample::Clear() {
  for (auto* column : {&x, &y, &log_loss, &loss, &weight, &log_epochs}) column->clear();
}

Sample MakeSample(const std::vector<Observation>& points, const std::vector<double>* params) {
  Sample sample;
  sample.Reserve(points.size());
  for (size_t i = 0; i < points.size(); ++i) {
    sample.x.push_back(std::log(params != nullptr ? (*params)[i] : points[i].params));
    sample.y.push_back(std::log(points[i].tokens));
    sample.loss.push_back(points[i].loss);
    sample.log_loss.push_back(std::log(points[i].loss));
    sample.weight.push_back(points[i].weight);
    sample.x_center += sample.x.back();
    sample.y_center += sample.y.back();
  }
  if (points.empty()) return sample;
  if (std::any_of(points.begin(), points.end(), [](const auto& p) { return p.epochs > 1; })) {
    for (const Observation& p : points) {
      sample.log_epochs.push_back(p.epochs > 1 ? std::log(p.epochs) : 0);
    }
  }
  sample.x_center /= static_cast<double>(points.size());
  sample.y_center /= static_cast<double>(points.size());
  for (double& x : sample.x) x -= sample.x_center;
  for (double& y : sample.y) y -= sample.y_center;
  return sample;
}

double Value(const Law& law, const Objective& objective, const Sample& sample, const Theta& theta) {
  double sum = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double fitted =
        LogLossAt(law, theta, sample.x[i], sample.y[i], nullptr, sample.LogEpochs(i));
    sum += Term(objective, fitted, sample.log_loss[i], sample.loss[i], sample.weight[i]).value;
  }
  return sum;
}

Derivatives Differentiate(const Law& law, const Objective& objective, const Sample& sample,
                          const Theta& theta) {
  if (law.own != nullptr) return AccumulateFormula(*law.own, objective, sample, theta);
  return law.coupled ? Accumulate<true>(law, objective, sample, theta)
                     : Accumulate<false>(law, objective, sample, theta);
}

double Residual(const Law& law, const Objective& objective, const Sample& sample,
                const Theta& theta, size_t i, Theta* fitted_gradient) {
  const double fitted =
      LogLossAt(law, theta, sample.x[i], sample.y[i], fitted_gradient, sample.LogEpochs(i));
  if (fitted_gradient != nullptr) {
    for (int k = law.free; k < kMaxParameters; ++k) (*fitted_gradient)[k] = 0;
  }
  if (!objective.of_loss()) return sample.log_loss[i] - fitted;
  const double loss = std::exp(fitted);
  if (fitted_gradient != nullptr) *fitted_gradient *= loss;
  return sample.loss[i] - loss;
}

}  // namespace allometry::fitting
