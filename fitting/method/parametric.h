// The parametric method (Hoffmann et al.'s Method 3) as one line of a report.
#pragma once

#include <vector>

#include "fitting/data/result.h"
#include "fitting/method/law_choice.h"
#include "fitting/method/resample.h"
#include "fitting/method/view.h"
#include "fitting/method/window.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

struct ParametricFit {
  MethodFit report;
  Problem problem;
  Optimum optimum;
  std::vector<Prediction> predictions;  // one per budget, unless refused
  std::vector<TradeOff> trade_offs;
  double robust_sd = 0;              // of ln L about the law: 1.4826 median |r|
  std::vector<Picture::Band> bands;  // over the data's C and on to the largest budget
};

ParametricFit FitParametric(const LawFit& fitted, const FitOptions& options);

// The same law and objective refitted to resampled sweeps, for differences between methods.
// `windowed` must outlive it.
Estimator ParametricEstimator(const WindowedView& windowed, size_t view_index,
                              const Problem& problem, const Theta& theta, const Layout& layout);

// Refit without the observations of the top decade of compute, judged on them; of less than that
// where less than a decade of C would be left below, but at least of a factor of two. For a law
// that is fitted to a window, `view` has its points.
BackTest RunBackTest(const DataView& view, const Problem& problem);

}  // namespace allometry::fitting
