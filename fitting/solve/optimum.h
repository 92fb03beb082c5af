// The optimum of an objective, found from many starts, finished exactly, and certified.
//
// Starts. For fixed (alpha, beta) the standard law is linear in (E, A, B) >= 0 for residuals in L,
// so a grid over the two exponents, with a three-variable non-negative least squares at each
// node, scans the whole problem in two dimensions (variable projection, Golub and Pereyra 1973).
// Its conditioning is ~11 where the five-dimensional one's is 3.5e11. With weights w/L^2 the
// residuals are nearly those of ln L, which is what most objectives use; the local minima of the
// grid and its best nodes then start the exact objective. Only that objective ranks them: the
// best start chosen by another metric is one of the field's known mistakes.
//
// Descent. Ceres (fitting/solve/ceres_descent.h) from every start: squares themselves, or a Huber
// loss of the residuals' own size. Starts that came to one basin go on as one: Huber losses with
// falling delta, so that the quadratic zone is never empty, and Ceres on the wanted objective.
//
// Polish and certificate. Newton (fitting/solve/newton.h) from where Ceres stops, to gradients near
// 1e-12; for least absolute deviations the vertex of fitting/solve/lad.h. Thousands of warm
// resamples are Newton's alone.
//
// Refusals, each with its reason: fewer points than parameters + 2; a direction of parameters
// that no point sees (rank-deficient); E at zero, or any parameter at its bound; not converged.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fitting/data/result.h"
#include "fitting/solve/newton.h"

namespace allometry::fitting {

struct Problem {
  const Law* law = nullptr;
  Objective objective;
  double fixed_floor = 0;
};

struct Optimum {
  Theta theta = Theta::Zero();
  double value = 0;
  bool exists = false;  // theta is an optimum, even where the fit is refused
  std::vector<int> active;
  Certificate certificate;
  std::optional<std::string> refused;
};

// Above this many points the starts run on a subsample of this size, and the full objective is
// minimised from the best of them.
inline constexpr size_t kStartPoints = 1000;

Optimum FindOptimum(const Problem& problem, const Sample& sample);

// From a nearby start, as in a resample. `at_bound`: a parameter ended at its bound.
struct Refit {
  Theta theta = Theta::Zero();
  double value = 0;
  bool converged = false;
  bool at_bound = false;
};
Refit RefitFrom(const Problem& problem, const Sample& sample, const Theta& start, const Box& box);

// J'J over the centred free parameters, J the derivatives of the fitted values with weights: the
// geometry of the design, the same for every objective on ln L.
ThetaMatrix Information(const Problem& problem, const Sample& sample, const Theta& theta);

}  // namespace allometry::fitting
