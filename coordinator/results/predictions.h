// Pre-registration: what fits of a sweep predicted before a run was trained, against the result.
//
// A prediction is stored when it is made (coordinator/results/fits.h), with the id of its fit, and
// never changed. It is scored against the best loss that the sweep has reached at its budget (C
// within 10 %), under the fit's own conventions and exclusions. Only predictions beyond the data of
// their fit are scored, because inside that data the fit has seen the points it would be judged by.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "fitting/report/fit.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

struct PredictionScore {
  std::optional<fitting::Score> score;
  fitting::Observation realised;  // with a score
  std::string size;               // of the realised run
  std::string why_not;            // without one: a sentence
};

// `points`: what a fit reads now.
PredictionScore ScoreAgainst(const fitting::Prediction& prediction,
                             const fitting::Observations& points);

// Oldest first, as a JSON array (docs/fitting.md) and as a table. NotFound: no such sweep.
absl::StatusOr<v1::ListPredictionsResponse> ListPredictions(
    const store::Store& store, const v1::ListPredictionsRequest& request);

}  // namespace allometry::coordinator
