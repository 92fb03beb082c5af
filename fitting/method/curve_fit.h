// The methods that read curves, as lines of a report: frontier, isoFLOP, loss against compute.
#pragma once

#include <vector>

#include "fitting/data/result.h"
#include "fitting/method/frontier.h"
#include "fitting/method/loss_compute.h"
#include "fitting/method/resample.h"
#include "fitting/method/view.h"

namespace allometry::fitting {

struct CurveFit {
  MethodFit report;
  FrontierResult frontier;   // frontier and isoflop
  LossCompute loss_compute;  // loss-compute
  std::vector<Prediction> predictions;
  std::optional<Estimator> estimator;  // none where refused
};

// The estimate alone; the estimators' draws are still empty. `view` must outlive the result.
CurveFit FitFrontier(const DataView& view, size_t view_index, const Clusters& curves,
                     Minimum minimum, const Layout& layout);
CurveFit FitIsoflop(const DataView& view, size_t view_index, const Clusters& curves,
                    const Layout& layout);
CurveFit FitLossOverCompute(const DataView& view, size_t view_index, const Clusters& curves,
                            Minimum minimum, const Layout& layout);

// Adds intervals and predictions once the estimator has its draws.
void FinishCurveFit(const SweepModel& model, const Clusters& curves, const Layout& layout,
                    CurveFit& fit);

}  // namespace allometry::fitting
