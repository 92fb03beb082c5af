// ImportSweep: finished runs of other trainers as rows of a sweep, which fits, predictions, exports
// and lists read like those of runs that were trained here.
//
// A run is named by its tracker's name: its key is the hash of that. The first import of a name
// makes the sweep; later ones add runs, and points to runs, and never change what is stored. Steps
// are tokens: batch_tokens is 1.
#pragma once

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// One submission, all or nothing. InvalidArgument: a value that no run has, with the run's name and
// what is allowed. FailedPrecondition: the sweep is not an imported one, or a run is stored with
// another size or another loss at the same tokens.
absl::StatusOr<v1::ImportSweepResponse> ImportSweep(store::Store& store,
                                                    const v1::ImportSweepRequest& request,
                                                    const store::User& user = {});

}  // namespace allometry::coordinator
