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
// Intervals join the prediction's own with that of the vertex, in quadrature. How a curve wanders
// about the law is learned from the curves that were fitted, with a covariance of
// offset + wander exp(-|distance in ln C| / range): one curve alone cannot show it, since a
// parabola follows what wanders slowly. t with as many degrees of freedom as there were curves,
// less one.
//
// A loss gap above 0 beyond its interval says that the run never came down to the line: it was
// trained badly (a wrong learning rate), or the law bends.
//
// The line is the parametric one for every method, or that of loss-compute where the law is
// refused: frontier and isoflop predict N* and D* alone.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fitting/report/fit.h"

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

// The noise of a learning curve, nats squared.
struct CurveNoise {
  double offset = 0;  // of a whole curve
  double wander = 0;  // along it
  double range = 0;   // of ln C, over which it is forgotten; 0: at once
  double df = 0;      // curves less one; 0: not known, and a touch has no interval

  double Wander(double distance) const;
};

// From the residuals of the curves about the fitted law: half the mean square of differences of
// neighbours, and of points that are a factor of 4 to 16 apart.
CurveNoise MeasureNoise(const Observations& fitted, const MethodFit& law);

// `predictions`: of the fit to `withheld.fitted` at BudgetsOf. One a curve and method that predicts
// N* and D*.
std::vector<Extrapolation> Extrapolate(const Withheld& withheld, FlopsConvention convention,
                                       const std::vector<Prediction>& predictions,
                                       const CurveNoise& noise);

}  // namespace allometry::fitting
