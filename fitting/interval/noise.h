// How the losses of a sweep scatter about its law, and how much of that scatter is shared.
//
//   Cov(e_i, e_j) = sd^2 (shared + serial exp(-|ln D_i - ln D_j| / length) + tilt u_i u_j)
//   Var(e_i)      = sd^2 (1 + tilt u_i^2)                                      e = ln L - ln Lhat
//
// for i != j of one size, with u_i = ln D_i less its mean over the size's points, and nothing
// between sizes, as everywhere in fitting/. `shared` is what a size's seed, learning rate or shape
// shift its whole curve by: the intraclass correlation. `serial` is what fades along the curve,
// which is smooth in D, so that evaluations twenty a decade are not twenty experiments. `tilt` is
// that a whole curve leans against the law's: the law is a term of N and one of D, and real curves
// of small and of large models are not parallel (slopes of ln L over ln D from +.015 to -.017 of
// the law's in our quickstart). What is left is each evaluation's own. Promises that left `serial`
// out were too narrow by a factor of two on our own sweeps; those that left `tilt` out had beta
// half as wide, and alpha twice as wide, as what was got: what leans was taken for what shifts.
//
// Estimated by restricted maximum likelihood (Patterson and Thompson 1971) of the residuals, which
// accounts for what the fit itself has absorbed: with seven sizes and five parameters plain
// residuals show a quarter of the shift that sizes really have. Over a grid of (shared, serial,
// length up to 1, tilt), sd in closed form, and never less than the residuals' own.
#pragma once

#include <Eigen/Core>
#include <string>

#include "fitting/data/cluster.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

struct NoiseModel {
  double sd = 0;  // of ln L, in the middle of a curve
  double shared = 0, serial = 0;
  double length = 1;  // of ln D
  double tilt = 0;    // of the variance, at 1 of ln D from the middle of a curve
};

// Covariances, in units of sd^2, of the points with these ln D, all of one size.
Eigen::MatrixXd UnitCovariances(const NoiseModel& noise, const Eigen::VectorXd& log_tokens);

// About `theta`, which should be an optimum of squares of ln L. Clusters of more than 60 points are
// thinned evenly. `sd` 0 where there are no more points than parameters.
NoiseModel EstimateNoise(const Law& law, const Sample& sample, const Clusters& clusters,
                         const Theta& theta);

}  // namespace allometry::fitting
