// Have the training curves settled onto the law where a window begins?
//
// A warm-up, an optimiser's first steps or a learning-rate ramp hold the loss above the law for a
// while. Such a beginning shows within each curve, where the run's own offset cancels: the mean
// residual of ln L over the first factor of two in D, less the mean over the rest of the curve.
// Under the law that difference has mean zero.
//
// A window is settled if at least one of these holds:
//
//   noise    the sum over curves of (difference / standard error)^2 is below the .99 quantile of
//            chi-squared. The standard error is that of AR(1) noise, whose variance and correlation
//            come from first and second differences of residuals along the later half of curves:
//            a smooth misfit cancels there.
//   runs     the root mean square of the differences is at most a third of the standard deviation
//            between runs: a beginning that is smaller than the luck of a seed moves no exponent
//            further than its interval.
#pragma once

#include "fitting/data/cluster.h"
#include "fitting/method/view.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

struct CurveStarts {
  int curves = 0;      // with enough points to be read
  double rms = 0;      // of the differences, in ln L
  double between = 0;  // standard deviation of the curves' mean residuals
  double chi_squared = 0;
  double p = 1;
  bool read = false;  // at least half of the curves have points enough to be judged
  bool settled = true;
};

// Of the curves of a view, or of a window of it: `theta` is the law fitted to those same points.
CurveStarts ReadStarts(const DataView& view, const Clusters& curves, const Law& law,
                       const Theta& theta);

}  // namespace allometry::fitting
