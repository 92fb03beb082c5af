// Numbers of a study that are read off series of a sweep's runs, without a fit.
#pragma once

#include "cli/study_measure.h"

namespace allometry::cli {

// Pearson's r of the held-out loss with a measure of quality, a point a checkpoint; for the
// interval sizes are left out whole (metrics/correlation.h). Distances count by their logarithm.
absl::StatusOr<Measured> CorrelationOfEvaluations(const sweep::StudyTerm& term,
                                                  StudySource& source);

// The last value of the series `term.metric` of the runs of one size: the mean over seeds, runs of
// one seed averaged first, with Student's interval of the mean. `by_seed` holds the means.
absl::StatusOr<Measured> LastOfSeries(const sweep::StudyTerm& term, StudySource& source);

// Whether both have a value for each of the same seeds, two at least.
bool HasPairs(const Measured& first, const Measured& second);
// The mean over seeds of first - second, with Student's interval: what the two terms share with a
// seed (a world model, the starts of games) does not widen it. Needs HasPairs.
fitting::Estimate PairedDifference(const Measured& first, const Measured& second);

}  // namespace allometry::cli
