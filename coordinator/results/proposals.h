// `allo next`: new cells for a sweep, ranked by what they take off an interval for their cost
// (coordinator/cost/proposals.h, candidates.h), and added to it where that is asked for.
//
// What is proposed must not depend on when somebody asks: nothing is proposed while a run of the
// sweep is open. Law, errors and design are those of the sweep's observations, as a fit reads them.
#pragma once

#include <functional>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// InvalidArgument: an unknown target or option, numbers out of range. NotFound: no such sweep.
// FailedPrecondition: a run is open or `stage_is_active`; its observations give no law yet, or no
// candidate is worth anything, each with the reason. With accept the first cells are stored as an
// expansion of kind "proposal", whose JSON text says what they were made from and what they are
// expected to take off the interval; "changes" then has a line for each. Cancelled, and nothing is
// stored: `is_gone` became true, nobody waits for the answer.
absl::StatusOr<v1::ProposeCellsResponse> ProposeCells(store::Store& store,
                                                      const v1::ProposeCellsRequest& request,
                                                      bool stage_is_active,
                                                      const std::function<bool()>& is_gone);

}  // namespace allometry::coordinator
