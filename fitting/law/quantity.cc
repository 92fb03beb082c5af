#include "fitting/law/quantity.h"

#include <cmath>

#include "fitting/law/formula.h"

namespace allometry::fitting {
namespace {

struct Best {
  double log_params, log_tokens;
  Theta params_gradient;  // of ln N*
};

Best ComputeOptimal(const Quantity& q, const Sample& sample, const Theta& theta) {
  const double alpha = theta[kAlpha], beta = theta[kBeta], s = q.cost.s;
  const double log_a = theta[kLogA] + alpha * sample.x_center;
  const double log_b = theta[kLogB] + beta * sample.y_center;
  const double budget = std::log(q.flops) - q.cost.log_k;
  const double sum = alpha + s * beta;
  const double top = std::log(alpha / (s * beta)) + log_a - log_b + beta * budget;
  Best best;
  best.log_params = top / sum;
  best.log_tokens = budget - s * best.log_params;
  best.params_gradient = Theta::Zero();
  best.params_gradient[kLogA] = 1 / sum;
  best.params_gradient[kLogB] = -1 / sum;
  best.params_gradient[kAlpha] = (1 / alpha + sample.x_center - best.log_params) / sum;
  best.params_gradient[kBeta] = (-1 / beta - sample.y_center + budget - s * best.log_params) / sum;
  return best;
}

}  // namespace

Cost Cost::Fit(const std::vector<Observation>& points, const std::vector<double>* params) {
  Cost cost;
  double n = 0, mean_x = 0, mean_y = 0;
  const auto x = [&](size_t i) { return std::log(params ? (*params)[i] : points[i].params); };
  const auto y = [&](size_t i) { return std::log(points[i].compute() / points[i].tokens); };
  for (size_t i = 0; i < points.size(); ++i) {
    mean_x += x(i);
    mean_y += y(i);
    n += 1;
  }
  mean_x /= n, mean_y /= n;
  double xx = 0, xy = 0, yy = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    xx += (x(i) - mean_x) * (x(i) - mean_x);
    xy += (x(i) - mean_x) * (y(i) - mean_y);
    yy += (y(i) - mean_y) * (y(i) - mean_y);
  }
  cost.s = xx > 0 ? xy / xx : 1;
  cost.log_k = mean_y - cost.s * mean_x;
  cost.rms = std::sqrt(std::max(0.0, yy - cost.s * xy) / n);
  return cost;
}

std::string Quantity::name() const {
  switch (kind) {
    case QuantityKind::kAlpha:
      return "alpha";
    case QuantityKind::kBeta:
      return "beta";
    case QuantityKind::kGamma:
      return "gamma";
    case QuantityKind::kFloor:
      return "E";
    case QuantityKind::kLogA:
      return "A";
    case QuantityKind::kLogB:
      return "B";
    case QuantityKind::kA:
      return "a";
    case QuantityKind::kB:
      return "b";
    case QuantityKind::kLogParams:
      return "params";
    case QuantityKind::kLogTokens:
      return "tokens";
    case QuantityKind::kLoss:
      return "loss";
    case QuantityKind::kExtra:
    case QuantityKind::kOwn:
      return own_name;
  }
  return "";
}

bool Quantity::logarithmic() const {
  if (kind == QuantityKind::kExtra || kind == QuantityKind::kOwn) return own_logarithmic;
  return kind == QuantityKind::kLogA || kind == QuantityKind::kLogB ||
         kind == QuantityKind::kLogParams || kind == QuantityKind::kLogTokens;
}

double Quantity::Value(const Law& law, const Sample& sample, const Theta& theta,
                       Theta* gradient) const {
  Theta unused;
  Theta& g = gradient != nullptr ? *gradient : unused;
  g = Theta::Zero();
  const double alpha = theta[kAlpha], beta = theta[kBeta];
  switch (kind) {
    case QuantityKind::kAlpha:
      g[kAlpha] = 1;
      return alpha;
    case QuantityKind::kBeta:
      g[kBeta] = 1;
      return beta;
    case QuantityKind::kGamma:
      return g[kLogGamma] = std::exp(theta[kLogGamma]);
    case QuantityKind::kFloor:
      if (law.free > kLogE) g[kLogE] = std::exp(theta[kLogE]);
      return std::exp(theta[kLogE]);
    case QuantityKind::kExtra:
      g[kLogE + 1 + extra] = 1;
      return theta[kLogE + 1 + extra];
    case QuantityKind::kOwn: {
      // Values of a minimum found to 1e-8: a step of 1e-4 keeps the gradient good to 1e-4.
      constexpr double kStep = 1e-4;
      for (int k = 0; gradient != nullptr && k < law.free; ++k) {
        Theta up = theta, down = theta;
        up[k] += kStep, down[k] -= kStep;
        g[k] = (own(law, sample, up) - own(law, sample, down)) / (2 * kStep);
      }
      return own(law, sample, theta);
    }
    case QuantityKind::kLogA:
      g[kLogA] = 1;
      g[kAlpha] = sample.x_center;
      return theta[kLogA] + alpha * sample.x_center;
    case QuantityKind::kLogB:
      g[kLogB] = 1;
      g[kBeta] = sample.y_center;
      return theta[kLogB] + beta * sample.y_center;
    case QuantityKind::kA:
    case QuantityKind::kB: {
      const double s = cost.s, sum = alpha + s * beta;
      const bool of_params = kind == QuantityKind::kA;
      g[kAlpha] = (of_params ? -beta : s * beta) / (sum * sum);
      g[kBeta] = (of_params ? alpha : -s * alpha) / (sum * sum);
      return (of_params ? beta : alpha) / sum;
    }
    case QuantityKind::kLogParams: {
      const Best best = ComputeOptimal(*this, sample, theta);
      g = best.params_gradient;
      return best.log_params;
    }
    case QuantityKind::kLogTokens: {
      const Best best = ComputeOptimal(*this, sample, theta);
      g = -cost.s * best.params_gradient;
      return best.log_tokens;
    }
    case QuantityKind::kLoss: {
      // N* is a minimum at fixed C, so its own change with theta does not change L to first order.
      const Best best = ComputeOptimal(*this, sample, theta);
      const double loss = std::exp(LogLossAt(law, theta, best.log_params - sample.x_center,
                                             best.log_tokens - sample.y_center, &g));
      g *= loss;
      for (int i = law.free; i < kMaxParameters; ++i) g[i] = 0;
      return loss;
    }
  }
  return 0;
}

std::vector<Quantity> LawQuantities(const Law& law) {
  std::vector<Quantity> quantities;
  const auto add = [&](QuantityKind kind) { quantities.push_back({kind, 0, {}}); };
  if (law.has_floor) add(QuantityKind::kFloor);
  add(QuantityKind::kLogA);
  add(QuantityKind::kLogB);
  add(QuantityKind::kAlpha);
  add(QuantityKind::kBeta);
  if (law.coupled) add(QuantityKind::kGamma);
  if (law.own != nullptr) {
    for (size_t k = 0; k < law.own->extras.size(); ++k) {
      const Extra& extra = law.own->extras[k];
      quantities.push_back(
          {QuantityKind::kExtra, 0, {}, static_cast<int>(k), extra.name, extra.logarithmic});
    }
  }
  add(QuantityKind::kA);
  add(QuantityKind::kB);
  return quantities;
}

std::vector<Quantity> BudgetQuantities(const std::vector<double>& budgets, const Cost& cost) {
  std::vector<Quantity> quantities;
  for (double budget : budgets) {
    for (QuantityKind kind :
         {QuantityKind::kLogParams, QuantityKind::kLogTokens, QuantityKind::kLoss}) {
      quantities.push_back({kind, budget, cost});
    }
  }
  return quantities;
}

}  // namespace allometry::fitting
