// One size that was trained badly: a learning rate that was too high, a bug that one config had.
//
// All points of the size lie above (or below) what the others say, and the fit bends towards them.
// Outliers do not show it: the size's points agree with each other. Leaving each size out in turn
// does. A size is named where the scatter of the points that are left falls below half of the whole
// fit's, and the size's mean distance from the fit without it is more than 1 % of the loss and more
// than three times that scatter. On clean tables leaving one of five or more sizes out lowers the
// scatter by a tenth or so; nothing is named there.
#pragma once

#include <optional>

#include "fitting/method/parametric.h"
#include "fitting/report/fit.h"

namespace allometry::fitting {

// Nothing where no size stands out, with fewer than five sizes, or with more than kMostPoints.
std::optional<Influence> FindInfluence(const DataView& view, const ParametricFit& fit);

// One sentence for the report.
std::string InfluenceText(const Influence& influence);

}  // namespace allometry::fitting
