// What the SVG shows, gathered while the data is at hand.
#pragma once

#include <vector>

#include "fitting/method/curve_fit.h"
#include "fitting/method/parametric.h"
#include "fitting/report/fit.h"

namespace allometry::fitting {

// Data thinned to at most 3000 marks, frontier minima to 300. `parametric` may be null.
Picture MakePicture(const DataView& view, const ParametricFit* parametric,
                    const std::vector<CurveFit>& curve_fits);

}  // namespace allometry::fitting
