// `allo next`: proposes new cells for a sweep and, if asked to, adds the first of them. Cells are
// ranked by how much they are expected to narrow an interval of the fit, for their cost
// (coordinator/cost/proposals.h, candidates.h).
//
// A proposal must not depend on when it is asked for. So nothing is proposed while a run of the
// sweep is open. The law, the errors and the design are those of the observations that a fit reads.
#pragma once

#include <functional>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// InvalidArgument: an unknown target or option, numbers out of range. NotFound: no such sweep.
// FailedPrecondition: a run is open or `stage_is_active`; its observations give no law yet, or no
// candidate is worth anything, each with the reason. With accept the first cells are stored as an
// expansion of kind kProposal, whose JSON text says what they were made from and what they are
// expected to take off the interval; "changes" then has a line for each. Cancelled, and nothing is
// stored: `is_gone` became true, because the client no longer waits.
absl::StatusOr<v1::ProposeCellsResponse> ProposeCells(store::Store& store,
                                                      const v1::ProposeCellsRequest& request,
                                                      bool stage_is_active,
                                                      const std::function<bool()>& is_gone);

}  // namespace allometry::coordinator
