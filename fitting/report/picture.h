// What a figure shows, gathered while the data is at hand.
#pragma once

#include <optional>
#include <vector>

#include "fitting/method/curve_fit.h"
#include "fitting/method/parametric.h"
#include "fitting/report/fit.h"

namespace allometry::fitting {

struct PictureInput {
  const DataView& view;
  const Clusters& curves;
  const WindowedView& window;       // of the parametric law
  const ParametricFit* parametric;  // null where it was not asked for
  const std::vector<CurveFit>& curve_fits;
  double df = 0;  // of the curve methods' intervals
};

// Of a finished report: what is refused or not usable is not drawn, and says why.
Picture MakePicture(const PictureInput& input, const FitReport& report);

}  // namespace allometry::fitting
