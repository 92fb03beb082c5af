// Fits and predictions over what a sweep has stored; every one is stored with its options, so that
// a number that was quoted can be found again.
#pragma once

#include <functional>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// Whether nobody waits for the result any more; asked between pieces of the work, from any thread.
using IsGone = std::function<bool()>;

// FailedPrecondition when nothing of the sweep may be read yet, with every reason. Cancelled, and
// nothing is stored: is_gone() became true.
absl::StatusOr<v1::FitResponse> FitSweep(store::Store& store, const v1::FitRequest& request,
                                         const IsGone& is_gone);

// A fit that predicts at options.budgets_flops, or sizes that it does not read (options.withhold);
// at least one of the two. What it predicts at budgets is stored, to be scored when such a run ends
// (predictions.h).
absl::StatusOr<v1::PredictResponse> PredictSweep(store::Store& store,
                                                 const v1::PredictRequest& request,
                                                 const IsGone& is_gone);

}  // namespace allometry::coordinator
