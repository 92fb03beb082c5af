// Ceres Solver as the minimiser of a law's objective.
//
// One residual block a point: f = (observed - fitted), of ln L or of L, with the law's own analytic
// derivatives (fitting/law/law.h, the definition that Newton and the tests use too), its weight in
// a ScaledLoss, and for Huber a HuberLoss(delta). Ceres minimises 1/2 sum rho(f^2), where
// HuberLoss's rho(s) is s inside delta^2 and 2 delta sqrt(s) - delta^2 outside: exactly twice the
// term of fitting/law/objective.h, so that for Huber both have one minimum value, and for squares
// Ceres' cost is half of ours. Least absolute deviations have no gradient at their optimum: Ceres
// minimises a Huber loss of small delta, and fitting/solve/lad.h finds the vertex.
//
// Bounds of the box are Ceres' own (Levenberg-Marquardt within them, projected). Ceres stops where
// rounding hides the fall of its cost, at gradients near 1e-8 of the scale; fitting/solve/newton.h
// then polishes to 1e-12 and certifies.
#pragma once

#include "fitting/solve/newton.h"

namespace allometry::fitting {

struct CeresOptions {
  int max_iterations = 50;
  double function_tolerance = 1e-8;
};

struct CeresResult {
  Theta theta = Theta::Zero();
  bool usable = false;  // a finite point no worse than the start
  int iterations = 0;
};

CeresResult MinimiseWithCeres(const Law& law, const Objective& objective, const Sample& sample,
                              const Theta& start, const Box& box, const CeresOptions& options = {});

}  // namespace allometry::fitting
