// The extrapolation test: leave the largest models out, predict them, and look.
//
// A fit is believed where nobody can check it, so it is first checked where somebody can (Pearce
// et al. 2025, section 4.3): freeze a fit of the smaller sizes, and on the curve of a size that was
// withheld take the point that is closest to the predicted line of optima L*(C). A curve of one N
// touches that line where N is the best size and lies above it elsewhere, so there
//
//   log10 (N / N*(C)),  log10 (D / D*(C)),  L - L*(C)
//
// are all 0 for a fit that extrapolates exactly. Near the touch L - L* is flat, and a single point
// that is closest by chance would be noise: the touch is the vertex of a parabola over ln C through
// the points within a factor of 4 of the least L - L*. Where it opens downwards or has its vertex
// outside them, the curve was not trained past its touch: then the least point stands, `turns` is
// false, and the ratios are bounds.
//
// Intervals join the prediction's own with that of the vertex, in quadrature: least squares over n
// points, variances times (1 + r) / (1 - r) for the residuals' lag-1 autocorrelation r, which is
// raised by (2 + 4 r) / n because short series hide it, and t with the points that are left by
// then.
//
// A loss gap above 0 beyond its interval says that the run never came down to the line: it was
// trained badly (a wrong learning rate), or the law bends.
//
// frontier and isoflop predict N* and D* alone; the line is then that of loss-compute where it was
// fitted too, otherwise the parametric one.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fitting/fit.h"

namespace allometry::fitting {

struct Withheld {
  Observations fitted;  // the rest, with an exclusion for each withheld family
  // Family and its points, in the order of options.withhold.
  std::vector<std::pair<std::string, std::vector<Observation>>> curves;
};

// INVALID_ARGUMENT for a family that the observations do not have (it lists those there are), and
// where nothing would be left.
absl::StatusOr<Withheld> Withhold(const Observations& observations,
                                  const std::vector<std::string>& families);

// The budgets at which predictions are needed: the points' C, at most 64 a curve.
std::vector<double> BudgetsOf(const Withheld& withheld, FlopsConvention convention);

// `predictions`: of the fit to `withheld.fitted` at BudgetsOf. One a curve and method that predicts
// N* and D*.
std::vector<Extrapolation> Extrapolate(const Withheld& withheld, FlopsConvention convention,
                                       const std::vector<Prediction>& predictions);

}  // namespace allometry::fitting
