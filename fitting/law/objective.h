// What a fit minimises: a table of objectives over a sample, with exact derivatives.
//
//   name      residual r          term                                    value printed
//   huber     ln L - ln Lhat      r^2/2 if |r| <= delta, else             sum w h(r)
//                                 delta (|r| - delta/2)
//   lsq-log   ln L - ln Lhat      r^2                                     sum w r^2
//   lsq       L - Lhat            r^2                                     sum w r^2
//   lad       ln L - ln Lhat      |r|                                     sum w |r|
//
// Always the sum over points, never the mean. An optimiser's tolerances are absolute, and
// Hoffmann et al.'s Method 3 came out wrong because the mean of a Huber loss with delta = 1e-3 is
// so small that L-BFGS stopped 27 % above the optimum (Besiroglu et al. 2024). All gradients
// here are of value / scale() for the same reason.
//
// The gradient and Hessian of the term of one point, over z = (u, v, ln E, ln gamma) of
// fitting/law/law.h with t = dln Lhat/dz and T its Hessian, are
//   -c1 t   and   c2 t t' - c1 T,
// where (c1, c2) = (psi, psi') for Huber, (2r, 2) for lsq-log, (sign r, 0) for lad, and
// (2 r Lhat, 2 Lhat (Lhat - r)) for lsq; each times the weight. One loop serves all of them.
#pragma once

#include <vector>

#include "fitting/data/observation.h"
#include "fitting/data/options.h"
#include "fitting/law/law.h"

namespace allometry::fitting {

// Observations as the inner loops read them: columns, logarithms, centred.
struct Sample {
  std::vector<double> x, y;  // ln N - x_center, ln D - y_center
  std::vector<double> log_loss, loss, weight;
  std::vector<double> log_epochs;  // 0 where not known; empty where no point has any
  double x_center = 0, y_center = 0;

  size_t size() const { return x.size(); }
  double LogEpochs(size_t i) const { return log_epochs.empty() ? 0 : log_epochs[i]; }
  // Appends point i of another sample with the same centres, its weight times `times`.
  void Append(const Sample& other, size_t i, double times);
  void Reserve(size_t points);
  void Clear();
};

// Centres are the means of ln N and ln D. params[i] replaces the i-th N where not null.
Sample MakeSample(const std::vector<Observation>& points, const std::vector<double>* params);

struct Objective {
  ObjectiveKind kind = ObjectiveKind::kHuber;
  double delta = 1e-3;  // Huber alone

  // What gradients are divided by: delta for Huber, 1 otherwise.
  double scale() const { return kind == ObjectiveKind::kHuber ? delta : 1; }
  // The residual is of L, not of ln L.
  bool of_loss() const { return kind == ObjectiveKind::kLsq; }
  bool squares() const { return kind == ObjectiveKind::kLsq || kind == ObjectiveKind::kLsqLog; }
};

struct Derivatives {
  double value = 0;
  Theta gradient = Theta::Zero();  // of value, not divided by scale()
  ThetaMatrix hessian = ThetaMatrix::Zero();
};

double Value(const Law& law, const Objective& objective, const Sample& sample, const Theta& theta);
// Entries beyond law.free stay 0.
Derivatives Differentiate(const Law& law, const Objective& objective, const Sample& sample,
                          const Theta& theta);

// The residual of one point as the objective sees it, and the derivative of the fitted value.
double Residual(const Law& law, const Objective& objective, const Sample& sample,
                const Theta& theta, size_t i, Theta* fitted_gradient);

}  // namespace allometry::fitting
