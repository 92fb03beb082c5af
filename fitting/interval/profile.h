// Profile-likelihood intervals, on request: valid for independent errors only, and labelled so.
//
// For a quantity q the profile is min over theta with q(theta) = q0 of the objective F. Each
// objective is, up to a scale s, the negative logarithm of a density of the residuals:
//
//   lsq, lsq-log   normal,   deviance  n ln(F / F_min)
//   lad            Laplace,  deviance 2n ln(F / F_min)
//   huber          exp(-h(r) / s) / Z(s),  Z = sqrt(2 pi s) (2 Phi(delta/sqrt s) - 1)
//                  + 2 (s/delta) exp(-delta^2 / (2 s));  deviance by maximising over s
//
// and the interval is where the deviance stays below the .95 quantile of chi-squared with one
// degree of freedom, 3.841 (Wilks 1938). Points that share a size make it too narrow; its coverage
// was never measured here. alpha, beta, ln E, ln A, ln B are coordinates, and a is linear in
// (alpha, beta) once fixed, (1 - a0) beta = a0 alpha; so every constraint is a linear one.
#pragma once

#include <vector>

#include "fitting/data/result.h"
#include "fitting/law/quantity.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

// One estimate per quantity that has a profile (E, A, B, alpha, beta, a, b). A bound that lies
// beyond the search (40 times the curvature's own width) stays empty.
std::vector<NamedEstimate> ProfileIntervals(const Problem& problem, const Sample& sample,
                                            const Optimum& optimum);

}  // namespace allometry::fitting
