#pragma once

#include <cstdint>

#include "base/status.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/rows.h"

namespace allometry::store {

// Asks the worker that holds the run to end its attempt, within `within_ms` if that is not 0. Of
// two requests the stricter holds: cancel over preempt, the shorter time over the longer.
// FailedPrecondition: no worker holds the run.
absl::Status AskToStop(Transaction& transaction, int64_t run_id, StopAsked stop, int64_t within_ms);

}  // namespace allometry::store
