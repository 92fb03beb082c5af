// How long devices were held: time x devices of every attempt, which limits and people read.
//
// An attempt counts from its start to its end on the coordinator's wall clock: its lease ran out,
// it was given back, or its exit record came. What a LEASED one has used so far is added when it is
// read (Run.device_seconds, Sweep.device_seconds). Runs that share a device each count it whole.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "coordinator/store/rows.h"
#include "coordinator/store/writer.h"

namespace allometry::store {

// Sums up anew what the run's ended attempts have used. After every change of an attempt's state.
absl::Status CountDeviceTime(Transaction& transaction, int64_t run_id);

// FAILED(LIMIT) -> PENDING for the runs of the sweep that its limit now leaves time.
absl::Status ReopenWithinLimit(Transaction& transaction, int64_t sweep_id);

}  // namespace allometry::store
