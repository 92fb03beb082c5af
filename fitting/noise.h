// How the losses of a sweep scatter about its law, and how much of that scatter is shared.
//
//   Cov(e_i, e_j) = sd^2 (shared + serial exp(-|ln D_i - ln D_j| / length))   i != j of one size
//   Var(e_i)      = sd^2                                                      e = ln L - ln Lhat
//
// and nothing between sizes, as everywhere in fitting/. `shared` is what a size's seed, learning
// rate or shape shift its whole curve by: the intraclass correlation. `serial` is what fades along
// the curve: the law's own misfit above all, which is smooth in D, so that evaluations twenty a
// decade are not twenty experiments. What is left is each evaluation's own. A promise of an
// interval's width that leaves `serial` out is too narrow by a factor of two on our own sweeps.
//
// Estimated by restricted maximum likelihood (Patterson and Thompson 1971) of the residuals, which
// accounts for what the fit itself has absorbed: with seven sizes and five parameters plain
// residuals show a quarter of the shift that sizes really have. Over a grid of (shared, serial,
// length up to 1), sd in closed form, and never less than the residuals' own.
#pragma once

#include <Eigen/Core>
#include <string>

#include "fitting/cluster.h"
#include "fitting/optimum.h"

namespace allometry::fitting {

struct NoiseModel {
  double sd = 0;  // of ln L
  double shared = 0, serial = 0;
  double length = 1;  // of ln D
};

// Correlations of the points with these ln D, all of one size.
Eigen::MatrixXd Correlations(const NoiseModel& noise, const Eigen::VectorXd& log_tokens);

// About `theta`, which should be an optimum of squares of ln L. Clusters of more than 60 points are
// thinned evenly. `sd` 0 where there are no more points than parameters.
NoiseModel EstimateNoise(const Law& law, const Sample& sample, const Clusters& clusters,
                         const Theta& theta);

}  // namespace allometry::fitting
