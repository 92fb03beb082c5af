// The loss on the frontier against compute: L*(C) = E + e (C / C_ref)^-c.
//
// This is equation 8 of Pearce et al. (2025), c0 C^-c + E, with the seed's bounds c0 >= 0,
// -1 <= c <= 1, E >= 0.1 nats and its objective, squares on L. c0 is the excess loss at one FLOP,
// twenty decades outside any data and correlated with c to the last digit, so nothing could be
// compared by it; here e is the excess at C_ref, the geometric middle of the frontier's C.
//
// Two warnings that reports carry. E and c are not separately identified over a few decades of C:
// below three the interval is all there is. And E >= 0.1 binds for targets of low entropy (two
// classes have at most ln 2 = .69 nats); an active bound is named and the fit refused.
//
// For a given c the best E and e within bounds are linear and exact, so the search is over c alone:
// a grid, golden section in every one of its local minima, and Gauss-Newton steps to the last
// digits over the parameters that are not at a bound.
#pragma once

#include <Eigen/Core>
#include <optional>
#include <string>
#include <vector>

#include "fitting/method/frontier.h"

namespace allometry::fitting {

struct LossCompute {
  double floor = 0;          // E, nats
  double exponent = 0;       // c
  double excess = 0;         // e, nats at reference_flops
  double log_reference = 0;  // ln C_ref
  bool solved = false;       // the numbers are an optimum, even where the fit is refused
  double value = 0;          // sum (L - Lhat)^2
  int starts = 0, starts_at_optimum = 0;
  double gradient_norm = 0;  // of value over (E, ln e, c), 0 for those at a bound
  std::optional<double> condition_number;
  std::vector<std::string> active_bounds;
  std::optional<std::string> refused;

  double Loss(double flops) const;
};

// `log_reference` of 0 takes the middle of the points; resamples pass the estimate's own.
// `weights`: of each point's square; null is 1 for all.
LossCompute FitLossCompute(const std::vector<FrontierPoint>& points, double log_reference = 0,
                           const std::vector<double>* weights = nullptr);

// Of (E, e, c) for independent errors of equal variance over the weights: s^2 (J'J)^-1 by
// ceres::Covariance, s^2 the value over n - 3. Nothing where the fit is refused.
std::optional<Eigen::Matrix3d> LossCovariance(const std::vector<FrontierPoint>& points,
                                              const std::vector<double>* weights,
                                              const LossCompute& fit);

}  // namespace allometry::fitting
