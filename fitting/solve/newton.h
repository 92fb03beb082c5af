// Second-order minimisation of an objective over theta, inside a box.
//
// Why not a quasi-Newton method: from Hoffmann's published point scipy's default L-BFGS-B stops
// 14 % above the optimum of the Huber objective, because its tests are on the objective's
// relative change. A Newton step with the exact Hessian is scale-free, converges quadratically
// once the set of points inside delta stands still, and five parameters make it cheap.
//
// Each step solves H s = -g over the parameters that are not held at a bound, with H's eigenvalues
// replaced by their absolute values where it is not positive definite, then halves the step
// until the objective falls (Armijo). Where rounding hides the fall of the objective, a step is
// still taken while it shrinks the gradient: that is the difference between exponents good to
// 1e-6 and to 1e-12. It stops on step length, never on the objective alone, since a noise-free
// table has an objective of ~1e-30.
#pragma once

#include <vector>

#include "fitting/law/objective.h"

namespace allometry::fitting {

struct Box {
  Theta lower, upper;
  // alpha, beta in [.002, 10], E at least 1e-6 of the smallest loss, gamma in [.05, 20].
  // A Formula's own parameters have the bounds of its file.
  static Box For(const Sample& sample, const Law& law = FindLaw(LawKind::kStandard));
};

struct NewtonOptions {
  int max_steps = 100;
  // Moves only within theta + span(basis): a law.free x k matrix with orthonormal columns, for
  // profiles. Bounds are then only limits to the step. Empty: all free parameters.
  Eigen::MatrixXd basis;
};

struct NewtonResult {
  Theta theta = Theta::Zero();
  Derivatives at;            // value, gradient and Hessian there
  double gradient_norm = 0;  // max |gradient / scale| over parameters not held at a bound
  int steps = 0;
  bool converged = false;   // the last step was below rounding or the gradient below 1e-12
  std::vector<int> active;  // indices held at a bound, the objective falling outwards
};

NewtonResult Minimise(const Law& law, const Objective& objective, const Sample& sample,
                      const Theta& start, const Box& box, const NewtonOptions& options = {});

}  // namespace allometry::fitting
