// The exact least-absolute-deviations optimum: a vertex, and the multipliers that prove it.
//
// sum w |r_i| has no gradient where residuals vanish, and its optimum is exactly such a place: as
// a rule p residuals are zero, p the number of free parameters. Smoothing (a Huber loss with a
// tiny delta) only comes near and cannot say how near. Here each outer step linearises the law,
// r_i(theta + d) = r_i - J_i d, solves that linear problem exactly by exchanging the zero
// residuals one at a time (Barrodale and Roberts 1973; Bloomfield and Steiger 1983), and goes
// along d as far as the true objective falls (Anderson and Osborne 1977). At a vertex this
// converges quadratically.
//
// Certificate. With S the zero residuals, multipliers mu solve
//   sum_{i not in S} w_i sign(r_i) J_i + sum_{k in S} mu_k w_k J_k = 0,
// and theta is a local optimum when every |mu_k| <= 1 (strictly: a strict one). In about one noisy
// sweep of a hundred the law's curvature holds the optimum off every vertex; then the fit counts as
// converged when the linear problem promises less than a millionth of the objective.
#pragma once

#include "fitting/solve/newton.h"

namespace allometry::fitting {

struct LadResult {
  Theta theta = Theta::Zero();
  double value = 0;
  std::vector<int> zeros;         // the points with zero residuals that define the vertex
  double largest_multiplier = 0;  // max |mu_k|; at most 1 at an optimum
  bool converged = false;
};

// `start` should be near: the optimum of a Huber loss with a small delta. Coordinates in `held`
// stay as they are.
LadResult MinimiseLad(const Law& law, const Sample& sample, const Theta& start, const Box& box,
                      const std::vector<int>& held);

}  // namespace allometry::fitting
