#include "coordinator/store/attempt_end.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/foreign_text.h"
#include "coordinator/store/device_time.h"
#include "coordinator/store/events.h"
#include "coordinator/store/input_runs.h"
#include "coordinator/store/names.h"
#include "coordinator/store/run_rows.h"

namespace allometry::store {
namespace {

// The log's last lines come with a message; more than this is a mistake.
constexpr size_t kLongestMessage = 16 << 10;

absl::string_view FirstLine(absl::string_view text) { return text.substr(0, text.find('\n')); }

bool IsLostLease(v1::ExitReason reason) {
  return reason == v1::LEASE_LOST || reason == v1::AGENT_LOST || reason == v1::NODE_LOST;
}

bool RuleApplies(const FencedAttempt& attempt, const AttemptEnd& end) {
  switch (attempt.run_state) {
    case v1::LEASED:
      return true;
    case v1::PENDING:
      return !IsLostLease(end.reason);  // counted when the lease ran out or was given back
    case v1::RUN_FAILED:
    case v1::RUN_CANCELLED:
      return end.reason == v1::SUCCEEDED;
    default:
      return false;
  }
}

absl::Status PutEnd(Transaction& transaction, const v1::Lease& lease, const AttemptEnd& end) {
  return transaction.db
      .Prepare(
          "UPDATE attempts SET state = ?3, exit_reason = ?4, exit_message = ?5, "
          "exit_step = ?6, ended_unix_us = ?7 WHERE run_id = ?1 AND attempt = ?2")
      .With(lease.run_id(), lease.attempt(), AttemptStateName(end.state), FailureName(end.reason),
            Shortened(end.message, kLongestMessage), end.step, transaction.now_unix_us)
      .Run();
}

bool Contains(const google::protobuf::RepeatedField<int64_t>& steps, int64_t asked) {
  return std::find(steps.begin(), steps.end(), asked) != steps.end();
}

schedule::Outcome GrownMeanwhile(const schedule::Ended& ended, const RunRow& row) {
  schedule::Outcome next;
  next.failures = ended.failures;  // of SUCCEEDED: none
  next.lost_leases = ended.lost_leases;
  next.reason = absl::StrFormat("more was asked of it while it ran: goes on to step %d",
                                row.run.spec().steps());
  return next;
}

// What SUCCEEDED means against what is stored.
absl::StatusOr<schedule::Outcome> AfterSuccess(Transaction& transaction, const v1::Lease& lease,
                                               const AttemptEnd& end, const RunRow& row,
                                               const std::string& tries, schedule::Ended& ended) {
  ALLO_ASSIGN_OR_RETURN(const std::optional<int64_t> missing,
                        FirstMissingEvaluation(transaction.db, lease.run_id(), row.run.spec()));
  ALLO_ASSIGN_OR_RETURN(const std::optional<int64_t> unwritten,
                        FirstMissingCheckpoint(transaction.db, lease.run_id(), row.run.spec()));
  const v1::RunSpec& given = row.attempt->spec;
  std::string lacks;
  if (missing.has_value() && Contains(given.evaluation_steps(), *missing)) {
    lacks = absl::StrFormat(", but the evaluation at step %d is not stored", *missing);
  } else if (unwritten.has_value() && Contains(given.checkpoint_steps(), *unwritten)) {
    lacks = absl::StrFormat(", but the checkpoint at step %d is not stored", *unwritten);
  }
  if (end.step < given.steps() || !lacks.empty()) {
    ended.reason = v1::BUG;
    ended.failures = TriesFor(tries, v1::BUG);
    ended.message = absl::StrFormat("the trainer said SUCCEEDED at step %d of %d%s", end.step,
                                    given.steps(), lacks);
    return schedule::AfterExit(ended);
  }
  if (missing.has_value() || unwritten.has_value() || row.run.spec().steps() > given.steps()) {
    return GrownMeanwhile(ended, row);
  }
  return schedule::AfterExit(ended);
}

absl::Status PutOutcome(Transaction& transaction, const v1::Lease& lease,
                        const schedule::Outcome& next, const schedule::Ended& ended,
                        const std::string& tries) {
  if (next.charged_to_host) {
    ALLO_RETURN_IF_ERROR(
        transaction.db
            .Prepare("UPDATE attempts SET charged_to_host = 1 WHERE run_id = ?1 AND attempt = ?2")
            .With(lease.run_id(), lease.attempt())
            .Run());
  }
  // What was not counted leaves the counts as they are.
  const bool counted = next.failures > ended.failures;
  return transaction.db
      .Prepare(
          "UPDATE runs SET state = ?2, failure = ?3, "
          "failures = CASE ?4 WHEN 0 THEN failures ELSE ?4 END, lost_leases = ?5, "
          "reason = ?6, tries = ?7 WHERE run_id = ?1")
      .With(lease.run_id(), RunStateName(next.state), FailureName(next.failure),
            counted ? next.failures : 0, next.lost_leases, Shortened(next.reason, kLongestReason),
            counted ? WithTries(tries, ended.reason, next.failures) : tries)
      .Run();
}

// With the memory that a rank was seen to need: it was that of the larger one.
absl::Status PutMicroBatch(Transaction& transaction, const v1::Run& run, int64_t micro_batch) {
  v1::RunSpec spec = run.spec();
  spec.set_micro_batch(static_cast<int32_t>(micro_batch));
  const std::string bytes = spec.SerializeAsString();
  return transaction.db.Prepare("UPDATE runs SET spec = ?2, memory_bytes = 0 WHERE run_id = ?1")
      .With(run.run_id(), Blob{bytes})
      .Run();
}

// What the newest attempt of another run that got going on the host, or failed to, says of it.
absl::StatusOr<schedule::OtherRuns> OtherRunsOn(Connection& db, absl::string_view host,
                                                int64_t run_id) {
  Statement find = db.Prepare(
      "SELECT got_going = 1 AND charged_to_host = 0 FROM attempts "
      "WHERE host = ?1 AND run_id <> ?2 AND (got_going = 1 OR charged_to_host = 1 OR exit_reason "
      "IN ('KILLED', 'STALLED', 'BUG', 'DATA', 'DISK_FULL', 'DEVICE')) "
      "ORDER BY started_unix_us DESC, run_id DESC LIMIT 1");
  find.With(host, run_id);
  schedule::OtherRuns others = schedule::OtherRuns::kUnknown;
  if (find.Step()) {
    others = find.Int(0) != 0 ? schedule::OtherRuns::kMadeProgress : schedule::OtherRuns::kMadeNone;
  }
  ALLO_RETURN_IF_ERROR(find.status());
  return others;
}

// Another host has the same run root, and this is the first attempt that could not read the file.
absl::StatusOr<bool> StartMayBeReadElsewhere(Connection& db, const v1::Lease& lease,
                                             const FencedAttempt& attempt) {
  Statement find = db.Prepare(
      "SELECT EXISTS (SELECT 1 FROM agents WHERE run_root_id = ?1 AND host <> ?2) AND NOT EXISTS "
      "(SELECT 1 FROM attempts WHERE run_id = ?3 AND attempt <> ?4 AND exit_reason = 'CHECKPOINT' "
      " AND start_run_id = ?5 AND start_attempt = ?6 AND start_step = ?7)");
  find.With(attempt.root_id, attempt.host, lease.run_id(), lease.attempt(), attempt.start_run_id,
            attempt.start_attempt, attempt.start_step);
  const bool may = find.Step() && find.Int(0) != 0;
  ALLO_RETURN_IF_ERROR(find.status());
  return may;
}

// What the rule reads.
absl::StatusOr<schedule::Ended> Describe(Connection& db, const v1::Lease& lease,
                                         const FencedAttempt& attempt, const AttemptEnd& end,
                                         const v1::RunSpec& spec) {
  schedule::Ended ended;
  ended.reason = end.reason;
  ended.message = Shortened(FirstLine(end.message), kLongestReason / 2);
  ended.host = attempt.host;
  // A command's own failure says nothing about its host, whose trainer is another program.
  ended.made_progress = attempt.made_progress || end.step > attempt.start_step ||
                        spec.identity().settings().contains("trainer.command");
  if (!ended.made_progress) {
    ALLO_ASSIGN_OR_RETURN(ended.others, OtherRunsOn(db, attempt.host, lease.run_id()));
  }
  ended.has_start = attempt.start_attempt != 0;
  if (ended.has_start && end.reason == v1::CHECKPOINT) {
    ALLO_ASSIGN_OR_RETURN(ended.start_may_be_read_elsewhere,
                          StartMayBeReadElsewhere(db, lease, attempt));
  }
  ended.failures = TriesFor(attempt.tries, end.reason);
  ended.lost_leases = attempt.lost_leases;
  ended.cancel_asked = attempt.stop == StopAsked::kCancel;
  ended.stop_for = attempt.stop_for;
  ended.stop_message = attempt.stop_message;
  ended.micro_batch = schedule::MicroBatchOf(spec);
  return ended;
}

absl::Status MarkStartBad(Transaction& transaction, const v1::Lease& lease,
                          const FencedAttempt& attempt) {
  const int64_t run_id = attempt.start_run_id != 0 ? attempt.start_run_id : lease.run_id();
  transaction.changed_runs.insert(run_id);  // and with it who else waits for that checkpoint
  return transaction.db
      .Prepare(
          "UPDATE checkpoints SET state = 'BAD' "
          "WHERE run_id = ?1 AND attempt = ?2 AND step = ?3 AND state = 'GOOD'")
      .With(run_id, attempt.start_attempt, attempt.start_step)
      .Run();
}

}  // namespace

absl::Status EndAttempt(Transaction& transaction, const v1::Lease& lease,
                        const FencedAttempt& attempt, const AttemptEnd& end) {
  transaction.changed_runs.insert(lease.run_id());
  ALLO_RETURN_IF_ERROR(PutEnd(transaction, lease, end));
  ALLO_RETURN_IF_ERROR(CountDeviceTime(transaction, lease.run_id()));
  const std::string what = absl::StrFormat("run %d (%s): attempt %d on %s ended as %s at step %d",
                                           lease.run_id(), attempt.size, lease.attempt(),
                                           attempt.host, FailureName(end.reason), end.step);
  if (!RuleApplies(attempt, end)) {
    return InsertEvent(transaction, attempt.sweep_id, lease.run_id(), what);
  }
  ALLO_ASSIGN_OR_RETURN(const RunRow row, LoadRun(transaction.db, lease.run_id()));
  ALLO_ASSIGN_OR_RETURN(schedule::Ended ended,
                        Describe(transaction.db, lease, attempt, end, row.attempt->spec));
  schedule::Outcome next;
  if (end.reason == v1::SUCCEEDED) {
    ALLO_ASSIGN_OR_RETURN(next, AfterSuccess(transaction, lease, end, row, attempt.tries, ended));
  } else {
    next = schedule::AfterExit(ended);
  }
  ALLO_RETURN_IF_ERROR(PutOutcome(transaction, lease, next, ended, attempt.tries));
  if (next.micro_batch != 0) {
    ALLO_RETURN_IF_ERROR(PutMicroBatch(transaction, row.run, next.micro_batch));
  }
  if (next.start_is_bad && attempt.start_attempt != 0) {
    ALLO_RETURN_IF_ERROR(MarkStartBad(transaction, lease, attempt));
  }
  return InsertEvent(transaction, attempt.sweep_id, lease.run_id(),
                     next.reason.empty() ? what : absl::StrCat(what, "; ", next.reason));
}

}  // namespace allometry::store
