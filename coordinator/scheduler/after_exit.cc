#include "coordinator/scheduler/after_exit.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace allometry::scheduler {
namespace {

std::string WithMessage(absl::string_view what, const std::string& message) {
  return message.empty() ? std::string(what) : absl::StrCat(what, ": ", message);
}

Outcome Finished(const Ended& ended, v1::RunState state) {
  Outcome outcome;
  outcome.state = state;
  outcome.failures = ended.failures;
  outcome.lost_leases = ended.lost_leases;
  if (state == v1::RUN_FAILED) outcome.failure = ended.reason;
  return outcome;
}

Outcome FailedAtOnce(const Ended& ended, absl::string_view advice) {
  Outcome outcome = Finished(ended, v1::RUN_FAILED);
  outcome.failures = ended.failures + 1;
  outcome.reason =
      absl::StrCat(WithMessage(v1::ExitReason_Name(ended.reason), ended.message), "; ", advice);
  return outcome;
}

Outcome CountedFailure(const Ended& ended, const RetryOptions& options) {
  Outcome outcome = Finished(ended, v1::PENDING);
  outcome.failures = ended.failures + 1;
  outcome.start_is_bad = ended.reason == v1::CHECKPOINT;
  const std::string what = WithMessage(v1::ExitReason_Name(ended.reason), ended.message);
  if (outcome.failures >= options.max_failures) {
    outcome.state = v1::RUN_FAILED;
    outcome.failure = ended.reason;
    outcome.reason = absl::StrFormat("failed %d times, the last with %s", outcome.failures, what);
  } else {
    outcome.reason = absl::StrFormat("failed %d of %d times: %s; starts again", outcome.failures,
                                     options.max_failures, what);
  }
  return outcome;
}

Outcome LostLease(const Ended& ended, const RetryOptions& options) {
  Outcome outcome = Finished(ended, v1::PENDING);
  outcome.lost_leases = ended.lost_leases + 1;
  const std::string what = WithMessage(v1::ExitReason_Name(ended.reason), ended.message);
  if (outcome.lost_leases >= options.max_lost_leases) {
    outcome.state = v1::RUN_FAILED;
    outcome.failure = v1::NODE_LOST;
    outcome.reason = absl::StrFormat(
        "lost its worker %d times in a row without a new checkpoint, the last with %s",
        outcome.lost_leases, what);
  } else {
    outcome.reason = absl::StrCat(what, "; starts again, not counted as a failure");
  }
  return outcome;
}

Outcome Preempted(const Ended& ended) {
  Outcome outcome = Finished(ended, v1::PENDING);
  outcome.reason = "preempted; goes on from its checkpoint, not counted as a failure";
  return outcome;
}

Outcome Cancelled(const Ended& ended) {
  Outcome outcome = Finished(ended, v1::RUN_CANCELLED);
  outcome.reason = "cancelled; 'allo retry' goes on from its last checkpoint";
  return outcome;
}

}  // namespace

Outcome AfterExit(const Ended& ended, const RetryOptions& options) {
  if (ended.cancel_asked && ended.reason != v1::SUCCEEDED && ended.reason != v1::DIVERGED) {
    return Cancelled(ended);
  }
  switch (ended.reason) {
    case v1::SUCCEEDED:
      return Finished(ended, v1::RUN_SUCCEEDED);
    case v1::DIVERGED:
      return FailedAtOnce(ended, "not retried, because it would diverge again");
    case v1::DATA:
      return FailedAtOnce(ended, "repair the dataset, then 'allo retry'");
    case v1::PREEMPTED:
      return Preempted(ended);
    case v1::CANCELLED_BY_USER:
      return Cancelled(ended);
    case v1::LEASE_LOST:
    case v1::AGENT_LOST:
    case v1::NODE_LOST:
      return LostLease(ended, options);
    case v1::OOM:
    case v1::KILLED:
    case v1::BUG:
    case v1::CHECKPOINT:
    case v1::DISK_FULL:
    case v1::DEVICE:
    default:  // a reason of a newer agent: unknown is bounded too
      return CountedFailure(ended, options);
  }
}

}  // namespace allometry::scheduler
