// Why an attempt ended. The names are those of allometry.v1.ExitReason; the trainer's process exit
// code is the enum's value, so that an agent knows the reason even where the spool could not be
// written. Values are stored: do not renumber.
#pragma once

#include "base/status.h"

namespace allometry::run {

enum class ExitReason {
  kSucceeded = 1,
  kDiverged = 2,
  kOom = 3,
  kData = 4,
  kPreempted = 5,
  kKilled = 6,
  kBug = 7,
  kCheckpoint = 8,
  kAgentLost = 9,
  kNodeLost = 10,
  kLeaseLost = 11,
  kDiskFull = 12,
  kDevice = 13,
  kCancelledByUser = 14,
  kStalled = 15,
  kLimit = 16,
  kStoppedEarly = 17,
  kEnvironment = 18,
  kUnfitModel = 19,
};

// "SUCCEEDED", "OOM", ...
absl::string_view ExitReasonName(ExitReason reason);
absl::StatusOr<ExitReason> ParseExitReason(absl::string_view name);

// The process exit code of a trainer: 0 for kSucceeded, otherwise 64 + the value.
int ProcessExitCode(ExitReason reason);
// The reason behind an exit code; kBug for a code that no trainer gives.
ExitReason ReasonOfProcessExitCode(int code);

}  // namespace allometry::run
