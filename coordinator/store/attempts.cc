// Leases: given, run out, returned, given back.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "coordinator/store/attempt_end.h"
#include "coordinator/store/device_time.h"
#include "coordinator/store/events.h"
#include "coordinator/store/fence.h"
#include "coordinator/store/input_runs.h"
#include "coordinator/store/names.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/run_rows.h"
#include "coordinator/store/schema.h"
#include "proto/run_choices.h"

namespace allometry::store {
namespace {

// Points of older attempts beyond `step` leave the clean curve, except the evaluations that end
// cells: those wait for the new attempt's (Append replaces them), so that a done cell stays done.
absl::Status ArchiveBeyond(Connection& db, int64_t run_id, int64_t step) {
  ALLO_RETURN_IF_ERROR(
      db.Prepare("INSERT OR IGNORE INTO archived_points "
                 "(run_id, attempt, series_id, step, tokens, value) "
                 "SELECT run_id, attempt, series_id, step, tokens, value FROM points "
                 "WHERE run_id = ?1 AND step > ?2 AND NOT (series_id = ?3 AND value IS NOT NULL "
                 "AND step IN (SELECT step FROM cells WHERE cells.run_id = ?1))")
          .With(run_id, step, kHeldoutSeries)
          .Run());
  return db
      .Prepare(
          "DELETE FROM points "
          "WHERE run_id = ?1 AND step > ?2 AND NOT (series_id = ?3 AND value IS NOT NULL "
          "AND step IN (SELECT step FROM cells WHERE cells.run_id = ?1))")
      .With(run_id, step, kHeldoutSeries)
      .Run();
}

// The attempt whose lease ran out or was given back can come back no more.
absl::Status CloseOlderAttempt(Transaction& transaction, const v1::Run& run) {
  return transaction.db
      .Prepare(
          "UPDATE attempts SET state = 'ENDED', "
          "ended_unix_us = CASE ended_unix_us WHEN 0 THEN ?3 ELSE ended_unix_us END, "
          "exit_reason = CASE exit_reason WHEN '' THEN 'NODE_LOST' ELSE exit_reason END "
          "WHERE run_id = ?1 AND attempt = ?2 AND state <> 'ENDED'")
      .With(run.run_id(), run.attempt(), transaction.now_unix_us)
      .Run();
}

std::string StartNote(const RunRow& row, const std::optional<v1::Checkpoint>& start,
                      const std::optional<v1::Checkpoint>& anywhere, absl::string_view host) {
  const int64_t step = start.has_value() ? start->step() : 0;
  if (anywhere.has_value() && anywhere->step() > step) {
    return absl::StrFormat(
        "starts from step %d: %s checkpoint at step %d is under run root %s, which is not that of "
        "%s",
        step, anywhere->run_id() != 0 ? absl::StrCat("run ", anywhere->run_id(), "'s") : "its",
        anywhere->step(), anywhere->root_id(), host);
  }
  if (const InputRun* const trunk = row.input(run::InputKind::kTrunk);
      trunk != nullptr && step < trunk->wanted_step) {
    return absl::StrFormat(
        "starts from step %d: its trunk, run %d, is %s and has no good checkpoint at step %d", step,
        trunk->run_id, RunStateName(trunk->state), trunk->wanted_step);
  }
  return {};
}

void RemoveInputs(v1::RunSpec& spec, run::InputKind kind) {
  auto& inputs = *spec.mutable_inputs();
  inputs.erase(std::remove_if(inputs.begin(), inputs.end(),
                              [&](const v1::RunInput& input) { return KindOf(input) == kind; }),
               inputs.end());
}

// What an attempt under `root_id` is told of the file that it reads of another run.
absl::Status PutInput(Connection& db, const RunRow& row, run::InputKind kind,
                      const Attempt& attempt, v1::RunSpec& spec) {
  if (row.input(kind) == nullptr) return absl::OkStatus();
  const InputRun& made_by = *row.input(kind);
  Statement find = db.Prepare(
      "SELECT file, hash FROM checkpoints WHERE run_id = ?1 AND step = ?2 AND state = 'GOOD' "
      "AND root_id = ?3 ORDER BY attempt DESC LIMIT 1");
  find.With(made_by.run_id, made_by.wanted_step, attempt.root_id);
  const bool is_done = kind != run::InputKind::kTokenizer || made_by.state == v1::RUN_SUCCEEDED;
  if (!find.Step() || !is_done) {
    ALLO_RETURN_IF_ERROR(find.status());
    return absl::FailedPreconditionError(
        absl::StrFormat("run %d needs run %d's %s, which is not under the run root of %s",
                        row.run.run_id(), made_by.run_id, run::NameOf(kind), attempt.host));
  }
  for (v1::RunInput& input : *spec.mutable_inputs()) {
    if (KindOf(input) != kind) continue;
    input.set_run_id(made_by.run_id);
    input.set_file(find.Text(0));
    input.set_hash(find.Text(1));
  }
  return absl::OkStatus();
}

// An attempt that evaluates is given the steps that are not stored yet, and of each its checkpoint.
// Returns the step before them.
absl::StatusOr<int64_t> PutCheckpoints(Connection& db, const RunRow& row, const Attempt& attempt,
                                       v1::RunSpec& spec) {
  const InputRun* const evaluated = row.input(run::InputKind::kCheckpoint);
  if (evaluated == nullptr) return spec.start().step();
  const InputRun& made_by = *evaluated;
  if (made_by.state != v1::RUN_SUCCEEDED) {
    return absl::FailedPreconditionError(absl::StrFormat("run %d evaluates run %d, which is %s",
                                                         row.run.run_id(), made_by.run_id,
                                                         RunStateName(made_by.state)));
  }
  ALLO_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                        StepsToEvaluate(db, row.run.run_id(), row.run.spec()));
  const std::string key = EvaluatedOf(spec)->run_key();
  RemoveInputs(spec, run::InputKind::kCheckpoint);
  spec.clear_evaluation_steps();
  for (const int64_t step : steps) {
    ALLO_ASSIGN_OR_RETURN(const std::optional<v1::Checkpoint> checkpoint,
                          NewestCheckpoint(db, made_by.run_id, step, attempt.root_id));
    if (!checkpoint.has_value() || checkpoint->step() != step) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "run %d needs run %d's checkpoint at step %d, which is not under the run root of %s",
          row.run.run_id(), made_by.run_id, step, attempt.host));
    }
    spec.add_evaluation_steps(step);
    v1::RunInput& input = *spec.add_inputs();
    input.set_kind(run::NameOf(run::InputKind::kCheckpoint));
    input.set_run_key(key);
    input.set_run_id(made_by.run_id);
    input.set_step(step);
    input.set_file(checkpoint->file());
    input.set_hash(checkpoint->hash());
  }
  return steps.front() - 1;
}

absl::Status FindAgent(Connection& db, absl::string_view agent_id, Attempt& attempt) {
  Statement find = db.Prepare("SELECT host, run_root_id FROM agents WHERE agent_id = ?1");
  find.With(agent_id);
  if (!find.Step()) {
    ALLO_RETURN_IF_ERROR(find.status());
    return absl::NotFoundError(absl::StrCat("there is no worker ", agent_id));
  }
  attempt.agent_id = std::string(agent_id);
  attempt.host = find.Text(0);
  attempt.root_id = find.Text(1);
  return absl::OkStatus();
}

absl::Status PutAttempt(Connection& db, const Attempt& attempt) {
  const std::string spec = attempt.spec.SerializeAsString();
  ALLO_RETURN_IF_ERROR(
      db.Prepare("INSERT INTO attempts (run_id, attempt, token, agent_id, host, root_id, slots, "
                 "state, stop, start_step, start_note, spec, durable_sequence, spool_ended, "
                 "exit_reason, exit_message, exit_step, started_unix_us, ended_unix_us) VALUES "
                 "(?1, ?2, ?3, ?4, ?5, ?6, ?7, 'LEASED', '', ?8, ?9, ?10, 0, 0, '', '', 0, ?11, 0)")
          .With(attempt.lease.run_id(), attempt.lease.attempt(), attempt.lease.token(),
                attempt.agent_id, attempt.host, attempt.root_id, SlotsText(attempt.slots),
                attempt.spec.start().step(), attempt.start_note, Blob{spec},
                attempt.started_unix_us)
          .Run());
  if (!attempt.spec.has_start()) return absl::OkStatus();
  return db
      .Prepare(
          "UPDATE attempts SET start_attempt = ?3, start_run_id = ?4 "
          "WHERE run_id = ?1 AND attempt = ?2")
      .With(attempt.lease.run_id(), attempt.lease.attempt(), attempt.spec.start().attempt(),
            attempt.spec.start().run_id())
      .Run();
}

absl::Status LeaseRun(Connection& db, const Attempt& attempt, int64_t step) {
  return db
      .Prepare(
          "UPDATE runs SET state = 'LEASED', attempt = ?2, step = ?3, reason = ?4 "
          "WHERE run_id = ?1")
      .With(attempt.lease.run_id(), attempt.lease.attempt(), step, attempt.start_note)
      .Run();
}

absl::Status Start(Transaction& transaction, int64_t run_id, absl::string_view agent_id,
                   Attempt& attempt) {
  Connection& db = transaction.db;
  ALLO_RETURN_IF_ERROR(FindAgent(db, agent_id, attempt));
  ALLO_ASSIGN_OR_RETURN(RunRow row, LoadRun(db, run_id));
  if (row.run.state() != v1::PENDING) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " is ", RunStateName(row.run.state()), ", not PENDING"));
  }
  ALLO_RETURN_IF_ERROR(CloseOlderAttempt(transaction, row.run));
  ALLO_ASSIGN_OR_RETURN(const std::optional<v1::Checkpoint> start,
                        StartCheckpoint(db, row, attempt.root_id));
  ALLO_ASSIGN_OR_RETURN(const std::optional<v1::Checkpoint> anywhere, StartCheckpoint(db, row, ""));
  attempt.lease.set_run_id(run_id);
  attempt.lease.set_attempt(row.run.attempt() + 1);
  attempt.lease.set_token(RandomHex128());
  attempt.spec = row.run.spec();
  // A trunk as an input is the start checkpoint; a trainer needs to know no more of it.
  RemoveInputs(attempt.spec, run::InputKind::kTrunk);
  for (const run::InputKind kind : {run::InputKind::kTokenizer, run::InputKind::kModel}) {
    ALLO_RETURN_IF_ERROR(PutInput(db, row, kind, attempt, attempt.spec));
  }
  if (start.has_value()) *attempt.spec.mutable_start() = *start;
  ALLO_ASSIGN_OR_RETURN(const int64_t begin, PutCheckpoints(db, row, attempt, attempt.spec));
  attempt.start_note = StartNote(row, start, anywhere, attempt.host);
  attempt.started_unix_us = transaction.now_unix_us;
  ALLO_RETURN_IF_ERROR(ArchiveBeyond(db, run_id, begin));
  ALLO_RETURN_IF_ERROR(PutAttempt(db, attempt));
  ALLO_RETURN_IF_ERROR(LeaseRun(db, attempt, begin));
  transaction.changed_runs.insert(run_id);
  if (attempt.start_note.empty()) return absl::OkStatus();
  return InsertEvent(transaction, row.sweep_id, run_id,
                     absl::StrFormat("run %d (%s): attempt %d %s", run_id, row.run.size(),
                                     attempt.lease.attempt(), attempt.start_note));
}

absl::Status Expire(Transaction& transaction, const v1::Lease& lease) {
  ALLO_ASSIGN_OR_RETURN(const FencedAttempt attempt, CheckFence(transaction.db, lease));
  if (attempt.state != AttemptState::kLeased) {
    return absl::FailedPreconditionError(absl::StrFormat("attempt %d of run %d is %s, not LEASED",
                                                         lease.attempt(), lease.run_id(),
                                                         AttemptStateName(attempt.state)));
  }
  AttemptEnd end;
  end.state = AttemptState::kExpired;
  end.reason = v1::NODE_LOST;
  end.message = absl::StrCat("no word from the worker on ", attempt.host, " for a whole lease");
  end.step = attempt.step;
  return EndAttempt(transaction, lease, attempt, end);
}

absl::Status Return(Transaction& transaction, const v1::Lease& lease) {
  ALLO_ASSIGN_OR_RETURN(const FencedAttempt attempt, CheckFence(transaction.db, lease));
  if (attempt.state == AttemptState::kLeased) return absl::OkStatus();
  if (attempt.state != AttemptState::kExpired || attempt.run_state != v1::PENDING) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "attempt %d of run %d is %s and its run %s", lease.attempt(), lease.run_id(),
        AttemptStateName(attempt.state), RunStateName(attempt.run_state)));
  }
  transaction.changed_runs.insert(lease.run_id());
  ALLO_RETURN_IF_ERROR(
      transaction.db
          .Prepare("UPDATE attempts SET state = 'LEASED', exit_reason = '', exit_message = '', "
                   "exit_step = 0, ended_unix_us = 0 WHERE run_id = ?1 AND attempt = ?2")
          .With(lease.run_id(), lease.attempt())
          .Run());
  ALLO_RETURN_IF_ERROR(CountDeviceTime(transaction, lease.run_id()));
  ALLO_RETURN_IF_ERROR(transaction.db
                           .Prepare("UPDATE runs SET state = 'LEASED', reason = '', "
                                    "lost_leases = max(0, lost_leases - 1) WHERE run_id = ?1")
                           .With(lease.run_id())
                           .Run());
  return InsertEvent(transaction, attempt.sweep_id, lease.run_id(),
                     absl::StrFormat("run %d (%s): the worker on %s is back with attempt %d",
                                     lease.run_id(), attempt.size, attempt.host, lease.attempt()));
}

absl::Status TakeBack(Transaction& transaction, const v1::GivenBack& given_back) {
  ALLO_ASSIGN_OR_RETURN(const FencedAttempt attempt,
                        CheckFence(transaction.db, given_back.lease()));
  if (attempt.state == AttemptState::kEnded || attempt.state == AttemptState::kGivenBack) {
    return absl::OkStatus();
  }
  AttemptEnd end;
  end.state = AttemptState::kGivenBack;
  end.reason =
      given_back.reason() == v1::EXIT_REASON_UNSPECIFIED ? v1::AGENT_LOST : given_back.reason();
  end.message = given_back.message();
  end.step = attempt.step;
  return EndAttempt(transaction, given_back.lease(), attempt, end);
}

}  // namespace

absl::StatusOr<Attempt> Store::StartAttempt(int64_t run_id, absl::string_view agent_id,
                                            absl::Span<const v1::Slot> slots) {
  Attempt attempt;
  ALLO_RETURN_IF_ERROR(parts_->writer->Run([&](Transaction& transaction) {
    attempt = Attempt();
    attempt.slots.assign(slots.begin(), slots.end());
    return Start(transaction, run_id, agent_id, attempt);
  }));
  return attempt;
}

absl::Status Store::ExpireLease(const v1::Lease& lease) {
  return parts_->writer->Run([&](Transaction& transaction) { return Expire(transaction, lease); });
}

absl::Status Store::ReturnLease(const v1::Lease& lease) {
  return parts_->writer->Run([&](Transaction& transaction) { return Return(transaction, lease); });
}

absl::Status Store::GiveBack(const v1::GivenBack& given_back) {
  return parts_->writer->Run(
      [&](Transaction& transaction) { return TakeBack(transaction, given_back); });
}

absl::StatusOr<std::vector<RunRow>> Store::OpenRuns() const {
  return parts_->readers->Run([](Connection& db) { return LoadOpenRuns(db); });
}

absl::StatusOr<RunRow> Store::GetRun(int64_t run_id) const {
  return parts_->readers->Run([&](Connection& db) { return LoadRun(db, run_id); });
}

absl::StatusOr<std::vector<Attempt>> Store::Attempts(int64_t run_id) const {
  return parts_->readers->Run([&](Connection& db) { return LoadAttempts(db, run_id); });
}

}  // namespace allometry::store
