// The parametric method (Hoffmann et al.'s Method 3) as one line of a report.
#pragma once

#include <vector>

#include "fitting/method/resample.h"
#include "fitting/method/view.h"
#include "fitting/report/fit.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

struct ParametricFit {
  MethodFit report;
  Problem problem;
  Optimum optimum;
  std::vector<Prediction> predictions;  // one per budget, unless refused
  std::vector<Picture::Band> bands;     // N* and L* over the data's C and a decade beyond
};

ParametricFit FitParametric(const DataView& view, const Clusters& clusters,
                            const FitOptions& options);

// The same law and objective refitted to resampled sweeps, for differences between methods.
// `view` must outlive it.
Estimator ParametricEstimator(const DataView& view, size_t view_index, const Problem& problem,
                              const Theta& theta, const Layout& layout);

// Refit without the observations of the top decade of compute, judged on them.
BackTest RunBackTest(const DataView& view, const Problem& problem);

}  // namespace allometry::fitting
