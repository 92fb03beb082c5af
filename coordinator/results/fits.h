// Fits and predictions of a stored sweep. Each is stored with its options, so that a number that
// was quoted can be found again.
#pragma once

#include <functional>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// Whether nobody waits for the result any more; asked between pieces of the work, from any thread.
using IsGone = std::function<bool()>;

// FailedPrecondition: the sweep has no observation yet; says every reason. Cancelled, and nothing
// is stored: is_gone() became true.
absl::StatusOr<v1::FitResponse> FitSweep(store::Store& store, const v1::FitRequest& request,
                                         const IsGone& is_gone);

// A fit that predicts at options.budgets_flops, or of the sizes that it does not read
// (options.withhold); at least one of the two is set. Predictions at budgets are stored, and scored
// when a run reaches the budget (predictions.h).
absl::StatusOr<v1::PredictResponse> PredictSweep(store::Store& store,
                                                 const v1::PredictRequest& request,
                                                 const IsGone& is_gone);

}  // namespace allometry::coordinator
