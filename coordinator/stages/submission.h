// From a sweep file to rows: parse, expand, compare with what is stored, add what is new.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "coordinator/sweep/difference.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// What `expansion` adds to the stored sweep, or to a new one.
absl::StatusOr<sweep::Changes> DifferenceFrom(const store::Store& store,
                                              const store::StoredSweep& stored,
                                              const sweep::Expansion& expansion);

// The rows of a difference against the sweep as of expansion `based_on`. The caller fills in text,
// kind and dataset.
store::Submission ToSubmission(sweep::Changes changes, int64_t based_on);

// CreateSweep. The same text twice changes nothing. Runs and cells of the reply are those of the
// sweep afterwards; of a dry run those that it would have, new runs with ids of -1, -2, ...
// InvalidArgument has one line for each mistake; FailedPrecondition one for each contradiction with
// the stored sweep.
absl::StatusOr<v1::CreateSweepResponse> CreateSweep(store::Store& store,
                                                    const v1::CreateSweepRequest& request,
                                                    const store::User& user = {});

}  // namespace allometry::coordinator
