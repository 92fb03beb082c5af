// The table of methods that read curves or budgets. A further method is a file of its own and one
// row here: its word for --method, its fit, intervals, differences to the others, predictions and
// the place in the report follow.
#pragma once

#include <vector>

#include "fitting/method/curve_fit.h"

namespace allometry::fitting {

struct CurveMethod {
  const char* name;
  // The estimate alone, with an Estimator that repeats it on other losses (curve_fit.h).
  CurveFit (*fit)(const DataView& view, size_t view_index, const Clusters& curves,
                  const FitOptions& options, const Layout& layout);
};

// In the order of a report; MethodOf(k) is row k's.
const std::vector<CurveMethod>& CurveMethods();
Method MethodOf(size_t row);

}  // namespace allometry::fitting
