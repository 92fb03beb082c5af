// Statuses of the trainer that carry an exit reason. The reason selects the rule of the retry table
// (coordinator/schedule/after_exit.h) that applies to the attempt.
#pragma once

#include <exception>

#include "base/status.h"
#include "run/exit_reason.h"
#include "worker/comm/collective.h"

namespace allometry::trainer {

// `status` with `reason` attached; OK stays OK. A reason attached before it stays.
absl::Status WithReason(run::ExitReason reason, absl::Status status);
// The reason attached; otherwise DISK_FULL for ResourceExhausted, NODE_LOST for Aborted (a
// collective lost another rank) and BUG for anything else.
run::ExitReason ReasonOf(const absl::Status& status);

// An exception as a status: OOM where memory ran out (bad_alloc, LibTorch's allocators), otherwise
// BUG. LibTorch's backtraces are left out.
absl::Status FromException(const std::exception& error);

// Tells every rank whether all came through a phase: OK everywhere or, everywhere, the failure of
// the lowest rank that has one.
absl::Status Agree(comm::Collective& collective, const absl::Status& mine);

}  // namespace allometry::trainer
