#include "coordinator/schedule/after_exit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace allometry::schedule {
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

// The run waits free of charge; its host rests.
Outcome ChargedToHost(const Ended& ended) {
  Outcome outcome = Finished(ended, v1::PENDING);
  outcome.charged_to_host = true;
  outcome.reason = absl::StrFormat("%s; charged to %s, not to the run",
                                   WithMessage(v1::ExitReason_Name(ended.reason), ended.message),
                                   ended.host.empty() ? "its host" : ended.host);
  return outcome;
}

// A file that is gone says nothing about the run.
Outcome UnreadableStart(const Ended& ended) {
  Outcome outcome = Finished(ended, v1::PENDING);
  outcome.start_is_bad = !ended.start_may_be_read_elsewhere;
  outcome.reason = absl::StrCat(
      WithMessage("CHECKPOINT", ended.message),
      outcome.start_is_bad ? "; starts from the checkpoint before, not counted as a failure"
                           : "; another worker tries to read it, not counted as a failure");
  return outcome;
}

bool IsTheHosts(const Ended& ended) {
  if (ended.reason == v1::DISK_FULL) return true;
  return !ended.made_progress && HostMayBeAtFault(ended.reason) &&
         ended.others != OtherRuns::kMadeProgress;
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

std::string Sequences(int64_t count) {
  return count == 1 ? "1 sequence" : absl::StrFormat("%d sequences", count);
}

Outcome OutOfMemory(const Ended& ended, const RetryOptions& options) {
  if (ended.micro_batch > 1) {
    Outcome outcome = Finished(ended, v1::PENDING);
    outcome.micro_batch = ended.micro_batch / 2;
    outcome.reason = absl::StrFormat(
        "%s with %s at once on a rank; goes on with %d at the same global batch, not counted as a "
        "failure",
        WithMessage("OOM", ended.message), Sequences(ended.micro_batch), outcome.micro_batch);
    return outcome;
  }
  Outcome outcome = CountedFailure(ended, options);
  if (ended.micro_batch == 1) {
    absl::StrAppend(&outcome.reason,
                    "; it took 1 sequence at a time already: a model of this size needs more "
                    "memory or more devices");
  }
  return outcome;
}

// Asked to end for a reason of its own; nothing but success or divergence comes before that.
Outcome StoppedFor(const Ended& ended) {
  Outcome outcome = Finished(ended, v1::RUN_FAILED);
  outcome.failure = ended.stop_for;
  outcome.reason = ended.stop_message.empty()
                       ? WithMessage(v1::ExitReason_Name(ended.stop_for), ended.message)
                       : ended.stop_message;
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
  if (ended.stop_for != v1::EXIT_REASON_UNSPECIFIED && ended.reason != v1::SUCCEEDED &&
      ended.reason != v1::DIVERGED) {
    return StoppedFor(ended);
  }
  switch (ended.reason) {
    case v1::SUCCEEDED:
      return Finished(ended, v1::RUN_SUCCEEDED);
    case v1::DIVERGED:
      return FailedAtOnce(ended, "not retried, because it would diverge again");
    case v1::UNFIT_MODEL:
      return FailedAtOnce(ended, "not retried, because the model would be the same");
    case v1::PREEMPTED:
      return Preempted(ended);
    case v1::CANCELLED_BY_USER:
      return Cancelled(ended);
    case v1::LEASE_LOST:
    case v1::AGENT_LOST:
    case v1::NODE_LOST:
      return LostLease(ended, options);
    case v1::OOM:
      return OutOfMemory(ended, options);
    case v1::LIMIT:
    case v1::STOPPED_EARLY: {
      Ended stopped = ended;
      stopped.stop_for = ended.reason;
      return StoppedFor(stopped);
    }
    case v1::CHECKPOINT:
      if (ended.has_start) return UnreadableStart(ended);
      [[fallthrough]];
    case v1::KILLED:
    case v1::STALLED:
    case v1::BUG:
    case v1::DATA:
    case v1::DISK_FULL:
    case v1::DEVICE:
    case v1::ENVIRONMENT:
    default:  // a reason of a newer agent: unknown is bounded too
      return IsTheHosts(ended) ? ChargedToHost(ended) : CountedFailure(ended, options);
  }
}

bool HostMayBeAtFault(v1::ExitReason reason) {
  switch (reason) {
    case v1::KILLED:
    case v1::STALLED:
    case v1::BUG:
    case v1::DATA:
    case v1::DISK_FULL:
    case v1::DEVICE:
    case v1::ENVIRONMENT:
    case v1::CHECKPOINT:
    case v1::OOM:
      return true;
    default:
      return false;
  }
}

int64_t MicroBatchOf(const v1::RunSpec& spec) {
  const int64_t context = std::max(1, spec.identity().shape().context());
  const int64_t ranks = std::max(1, spec.ranks());
  const int64_t sequences = spec.identity().batch_tokens() / context;
  const int64_t share = std::max<int64_t>(1, (sequences + ranks - 1) / ranks);
  return spec.micro_batch() == 0 ? share : std::min<int64_t>(spec.micro_batch(), share);
}

}  // namespace allometry::schedule
