// Pre-registration: what fits of a sweep said before a run was trained, against what came out.
//
// A prediction is stored when it is made (coordinator/results/fits.h) with the id of its fit, and never
// changed. It is scored against the best loss that the sweep has reached at its budget (C within
// 10 %), under the fit's own conventions and gate. Only beyond the data of its fit: inside, the
// fit has seen what it would be judged by.
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
