#include "run/exit_reason.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"

namespace allometry::run {
namespace {

struct Row {
  ExitReason reason;
  const char* name;
};

constexpr Row kReasons[] = {
    {ExitReason::kSucceeded, "SUCCEEDED"},
    {ExitReason::kDiverged, "DIVERGED"},
    {ExitReason::kOom, "OOM"},
    {ExitReason::kData, "DATA"},
    {ExitReason::kPreempted, "PREEMPTED"},
    {ExitReason::kKilled, "KILLED"},
    {ExitReason::kBug, "BUG"},
    {ExitReason::kCheckpoint, "CHECKPOINT"},
    {ExitReason::kAgentLost, "AGENT_LOST"},
    {ExitReason::kNodeLost, "NODE_LOST"},
    {ExitReason::kLeaseLost, "LEASE_LOST"},
    {ExitReason::kDiskFull, "DISK_FULL"},
    {ExitReason::kDevice, "DEVICE"},
    {ExitReason::kCancelledByUser, "CANCELLED_BY_USER"},
    {ExitReason::kStalled, "STALLED"},
    {ExitReason::kLimit, "LIMIT"},
    {ExitReason::kStoppedEarly, "STOPPED_EARLY"},
    {ExitReason::kEnvironment, "ENVIRONMENT"},
    {ExitReason::kUnfitModel, "UNFIT_MODEL"},
};

constexpr int kFirstExitCode = 64;

}  // namespace

absl::string_view ExitReasonName(ExitReason reason) {
  for (const Row& row : kReasons) {
    if (row.reason == reason) return row.name;
  }
  ALLO_CHECK(false) << "exit reason " << static_cast<int>(reason);
  return "";
}

absl::StatusOr<ExitReason> ParseExitReason(absl::string_view name) {
  std::vector<std::string> names;
  for (const Row& row : kReasons) {
    if (name == row.name) return row.reason;
    names.push_back(row.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("exit reason '", name, "' is not one of ", absl::StrJoin(names, ", ")));
}

int ProcessExitCode(ExitReason reason) {
  return reason == ExitReason::kSucceeded ? 0 : kFirstExitCode + static_cast<int>(reason);
}

ExitReason ReasonOfProcessExitCode(int code) {
  for (const Row& row : kReasons) {
    if (ProcessExitCode(row.reason) == code) return row.reason;
  }
  return ExitReason::kBug;
}

}  // namespace allometry::run
