// Fits and predictions over what a sweep has stored; every one is stored with its options, so that
// a number that was quoted can be found again.
#pragma once

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// FailedPrecondition when nothing of the sweep may be read yet, with every reason.
absl::StatusOr<v1::FitResponse> FitSweep(store::Store& store, const v1::FitRequest& request);

// A fit that predicts at options.budgets_flops, or sizes that it does not read (options.withhold);
// at least one of the two. What it predicts at budgets is stored, to be scored when such a run ends
// (predictions.h).
absl::StatusOr<v1::PredictResponse> PredictSweep(store::Store& store,
                                                 const v1::PredictRequest& request);

}  // namespace allometry::coordinator
