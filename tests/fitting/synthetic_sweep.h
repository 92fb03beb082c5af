// Sweeps with a known truth, for tests and benchmarks.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "fitting/data/observation.h"
#include "fitting/law/quantity.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {

// L = E + A / N^alpha + B / D^beta, with its answers.
struct Truth {
  double floor = 1.69, a_term = 406.4, b_term = 410.7, alpha = 0.34, beta = 0.28;

  double Loss(double params, double tokens) const {
    return floor + a_term * std::pow(params, -alpha) + b_term * std::pow(tokens, -beta);
  }
  double a() const { return beta / (alpha + beta); }
  double BestParams(double flops) const {
    const double g = std::pow(alpha * a_term / (beta * b_term), 1 / (alpha + beta));
    return g * std::pow(flops / 6, a());
  }
  double BestLoss(double flops) const {
    const double params = BestParams(flops);
    return Loss(params, flops / (6 * params));
  }
};

// Training curves as in synthetic_curves_chinchilla.csv: AR(1) noise and an offset per run.
inline Observations CurveSweep(uint64_t seed, int runs = 16, int points = 200,
                               const Truth& truth = {}) {
  constexpr double kNoise = 0.004, kOffset = 0.003, kRho = 0.9;
  Observations sweep;
  Random random(seed, 1000);
  for (int k = 0; k < runs; ++k) {
    const double params = 5e6 * std::pow(200.0, k / double(runs - 1));
    const double offset = kOffset * random.Normal();
    double noise = kNoise * random.Normal();
    for (int i = 0; i < points; ++i) {
      if (i > 0) noise = kRho * noise + kNoise * std::sqrt(1 - kRho * kRho) * random.Normal();
      Observation point;
      point.params = params;
      point.tokens = params * 0.5 * std::pow(400.0, i / double(points - 1));
      point.flops = 6 * point.params * point.tokens;
      point.loss = truth.Loss(point.params, point.tokens) + offset + noise;
      sweep.Add(point, std::to_string(k));
    }
  }
  return sweep;
}

// Sizes x budgets: `sizes` models from 1e7 to 3e9 parameters, each trained to `per_size` numbers
// of tokens between 2 and 200 a parameter. Errors of ln L: sd `noise` for every point, sd `shared`
// for every size, and AR(1) along a size's tokens where rho > 0.
struct Design {
  int sizes = 9, per_size = 8;
  double noise = 0.004, shared = 0, rho = 0;
};
inline Observations GridSweep(uint64_t seed, const Design& design, const Truth& truth = {}) {
  Observations sweep;
  Random random(seed, 2000);
  for (int k = 0; k < design.sizes; ++k) {
    const double params = 1e7 * std::pow(300.0, k / double(design.sizes - 1));
    const double shift = design.shared * random.Normal();
    double noise = design.noise * random.Normal();
    for (int i = 0; i < design.per_size; ++i) {
      if (i > 0) {
        noise = design.rho * noise +
                design.noise * std::sqrt(1 - design.rho * design.rho) * random.Normal();
      }
      Observation point;
      point.params = params;
      point.tokens = params * 2 * std::pow(100.0, i / double(design.per_size - 1));
      point.loss = truth.Loss(point.params, point.tokens) * std::exp(shift + noise);
      sweep.Add(point);
    }
  }
  return sweep;
}

// Six sizes along training curves that begin with a transient: the loss is above the law by a part
// that fades as training goes on.
enum class Transient {
  kNone,
  kSmallRatio,   // the smaller half of the sizes, fading over a number of tokens per parameter
  kAllTokens,    // every size, fading over the same number of tokens
  kSmallTokens,  // the smaller half, fading over the same number of tokens
  kPower,        // every size, as a steep power of D
};
struct TransientDesign {
  Transient transient = Transient::kSmallRatio;
  int sizes = 6, points = 40;
  double noise = 0.002, offset = 0.004;  // of ln L: of each point, and shared by a run
};
inline Truth TransientTruth() { return {1.7, 700, 35, 0.42, 0.22}; }
inline Observations TransientSweep(uint64_t seed, const TransientDesign& design) {
  const Truth truth = TransientTruth();
  Observations sweep;
  Random random(seed, 4000);
  for (int k = 0; k < design.sizes; ++k) {
    const double params = 1e7 * std::pow(100.0, k / double(design.sizes - 1));
    const double offset = design.offset * random.Normal();
    const bool small = 2 * k < design.sizes;
    for (int i = 0; i < design.points; ++i) {
      Observation point;
      point.params = params;
      point.tokens = params * 0.5 * std::pow(400.0, i / double(design.points - 1));
      double extra = 0;
      switch (design.transient) {
        case Transient::kNone:
          break;
        case Transient::kSmallRatio:
          if (small) extra = 0.15 * std::exp(-point.tokens / (3 * params));
          break;
        case Transient::kAllTokens:
          extra = 0.3 * std::exp(-point.tokens / 3e7);
          break;
        case Transient::kSmallTokens:
          if (small) extra = 0.3 * std::exp(-point.tokens / 3e7);
          break;
        case Transient::kPower:
          extra = 0.1 * std::pow(point.tokens / 1e7, -1.5);
          break;
      }
      point.loss = truth.Loss(point.params, point.tokens) *
                   std::exp(extra + offset + design.noise * random.Normal());
      sweep.Add(point, std::to_string(k));
    }
  }
  return sweep;
}

// Another sweep's N and D with losses of the truth and errors by size as above.
inline Observations Resimulate(uint64_t seed, const Observations& design_of, double noise,
                               double shared, const Truth& truth) {
  Observations sweep;
  Random random(seed, 3000);
  double last = 0, shift = 0;
  std::vector<Observation> points = design_of.points();
  std::stable_sort(points.begin(), points.end(),
                   [](const auto& a, const auto& b) { return a.params < b.params; });
  for (Observation point : points) {
    if (last == 0 || std::log(point.params / last) > 1e-3) shift = shared * random.Normal();
    last = point.params;
    point.loss = truth.Loss(point.params, point.tokens) * std::exp(shift + noise * random.Normal());
    point.run = point.family = -1;
    sweep.Add(point);
  }
  return sweep;
}

}  // namespace allometry::fitting
