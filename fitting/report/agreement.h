// Where methods and conventions disagree, and whether chance explains it.
//
// The same exponent from the same runs has been published as .46 and .73, and D* of one budget
// differed by 58 % between methods: each difference is larger than the error bar of either. So
// every quantity that two methods, two counts of parameters or two accountings of FLOPs share is
// set side by side, and each pair's difference gets an interval from the same resampled sweeps
// (fitting/method/resample.h); one that does not cover 0 is a finding about the method, not about
// noise.
#pragma once

#include <vector>

#include "fitting/method/resample.h"
#include "fitting/method/view.h"
#include "fitting/report/fit.h"

namespace allometry::fitting {

// Quantities that only one estimator has are left out. Differences: every pair within a view, and
// each method against itself in the report's view.
std::vector<Agreement> MakeAgreement(const std::vector<DataView>& views,
                                     const std::vector<SweepModel>& models,
                                     const std::vector<Estimator>& estimators,
                                     const Layout& layout);

// A number has one interval in a report: rows that repeat a fit's or a prediction's estimate take
// its interval over. Intervals of differences stay those of the resampled sweeps.
void ShowOneInterval(FitReport& report);

}  // namespace allometry::fitting
