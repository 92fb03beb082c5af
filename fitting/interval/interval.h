// 95 % intervals that cover 95 %: what was measured, not what is customary.
//
// The errors of points that share a size are shared, and the number of sizes is small: 8 in a
// typical sweep, 43 in Hoffmann et al.'s. Customary remedies fail there: resampling points covers
// .54 to .92, cluster-robust standard errors with normal quantiles .85 to .95, the wild cluster
// bootstrap .68 to .95. What holds its level over all designs tried:
//
//   least squares           CR2 with Bell-McCaffrey degrees of freedom (Bell and McCaffrey 2002;
//                           Pustejovsky and Tipton 2018, eq. 6 and 11)
//   Huber, LAD, G <= 20     delete-one-cluster jackknife, t with G - 1 degrees of freedom
//   Huber, LAD, G > 20      cluster bootstrap, percentiles of 4000 or more warm refits, all kept
//   Huber, over half of     CR2 with r -> psi(r) / k, k = 2 Phi(delta / s0) - 1,
//     |r| within delta      s0 = 1.4826 median |r| sqrt(n / (n - p))
//   G < 5                   none
//
// CR2. J (n x p) is the derivative of the fitted values, r the residuals, both rows times sqrt(w);
// B = (J'J)^-1, H_c = J_c B J_c', A_c = (I - H_c)^(-1/2) symmetric, 0 on eigenvalues below 1e-9.
//   V = B (sum_c J_c' A_c r_c r_c' A_c J_c) B,   s^2 = g'V g   for a quantity of gradient g
//   u_c = (I - J B J')[:, c] A_c J_c B g,  Q_cd = u_c'u_d,  df = max(1, (tr Q)^2 / sum Q_cd^2)
// With J = Q R and M_c = (I - Q_c'Q_c)^(-1/2), everything follows from the p x p matrices
// K_c = Q_c'Q_c, so the cost is O(n p^2) and no n x n matrix is formed.
//
// The law is taken as true: an interval does not cover its misfit, except for what another window
// of the same curves shows of it (`other`). Iid or clustered is never
// chosen from the data, for eight sizes cannot tell.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fitting/data/cluster.h"
#include "fitting/law/quantity.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

struct IntervalOptions {
  int resamples = 4000;  // of the cluster bootstrap
  uint64_t seed = 0;
  int threads = 1;
  // Above this many points resamples take one Newton step from the sums of each cluster's
  // gradient and Hessian instead of a refit, and the method's name says so.
  size_t refit_points = 50000;
  std::function<bool()> cancelled = {};  // FitOptions::cancelled
  // The same law fitted to other points, as of a window that begins later. Every interval is
  // lengthened, on the side to which that fit differs, by the difference.
  std::optional<Theta> other = {};
};

struct Intervals {
  IntervalSummary summary;
  std::vector<Estimate> estimates;  // one per quantity, on its reported scale
};

Intervals MakeIntervals(const Problem& problem, const Sample& sample, const Clusters& clusters,
                        const Optimum& optimum, const std::vector<Quantity>& quantities,
                        const IntervalOptions& options);

// The CR2 machinery for other users: variances, degrees of freedom and adjusted residuals.
struct Cr2 {
  // Standard error and degrees of freedom of each quantity's estimate.
  std::vector<double> error, df;
  // A_c r_c, unweighted: residuals freed of the shrinkage that fitting causes, point by point.
  std::vector<double> adjusted;
};
// `residuals` replaces the fit's own where not null.
Cr2 ComputeCr2(const Problem& problem, const Sample& sample, const Clusters& clusters,
               const Theta& theta, const std::vector<Quantity>& quantities,
               const std::vector<double>* residuals);

}  // namespace allometry::fitting
