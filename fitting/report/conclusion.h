// The answer, and whether the data contradict it.
//
// A fit can be the exact optimum of its objective and still be refuted by a number in its own
// table: in our first demo E was above a loss that had been measured. So every report is held
// against these rules before anything of it is called an answer:
//
//   floor-above-loss        E is above a measured loss. The law says that no model gets there.
//   prediction-above-loss   L*(C) is above a loss measured at no more than C, by more than two
//                           robust standard deviations of the residuals.
//   optimum-outside-sizes   C lies inside the data, but N*(C) outside its sizes: the minimum was
//                           not seen.
//   lack-of-fit             residuals have a pattern that clustered errors do not explain
//                           (fitting/interval/lack_of_fit.h).
//   curve-starts            training curves begin off the law, even in the window that was chosen
//                           or asked for (fitting/method/settled.h).
//   back-test               fitted below the top decade of C, the law misses it on average by
//                           more than kBackTestBias rms of what it leaves inside, and by more
//                           than one per cent, though the points below span a decade too.
//   methods-disagree        two methods' results differ by more than 1.5 times the half-width of
//                           the 95 % interval of their difference over the same resampled sweeps.
//                           Neither is condemned.
//
// All but the last make the method's predictions unusable (optimum-outside-sizes the one at that
// C): they are shown with the reason, without an interval, and no answer is taken from them.
//
// The answer at a budget. N and D come from the first of parametric, frontier, isoflop that is
// usable and whose interval of N is at most kMostRatio wide; the loss from the first of parametric,
// loss-compute. Where none is, that number is not determined, which is an answer too.
#pragma once

#include "fitting/method/view.h"
#include "fitting/report/fit.h"

namespace allometry::fitting {

inline constexpr double kBackTestBias = 3;  // times the rms inside
inline constexpr double kMostRatio = 100;  // upper / lower of an interval that still says something

// Fills report.conclusion, MethodFit::not_usable and Prediction::not_usable. `robust_sd`: of ln L
// about the parametric law; 0 where there is none.
void Conclude(const DataView& view, double robust_sd, FitReport& report);

// Whether an interval is narrow enough to be printed. Logarithmic quantities: N, D, A, B.
bool Determined(const Estimate& estimate, bool logarithmic);

}  // namespace allometry::fitting
