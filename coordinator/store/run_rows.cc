#include "coordinator/store/run_rows.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/foreign_text.h"
#include "coordinator/store/input_runs.h"
#include "coordinator/store/names.h"
#include "coordinator/store/schema.h"
#include "proto/run_choices.h"

namespace allometry::store {
namespace {

// The columns that ReadRun reads, in its order. The newest good checkpoint and the holder come
// along, so that one query lists runs whole.
#define ALLO_RUN_COLUMNS                                                                    \
  "runs.run_id, runs.run_key, runs.size, runs.spec, runs.params_blocks, "                   \
  "runs.params_token_embedding, runs.params_position_embedding, runs.params_head, "         \
  "runs.params_extra, runs.n_params, runs.flops_per_token_6n, runs.flops_per_token_exact, " \
  "runs.state, runs.failure, runs.reason, runs.attempt, runs.failures, runs.lost_leases, "  \
  "runs.step, runs.tokens_per_second, runs.last_train_loss, runs.last_heldout_loss, "       \
  "holder.host, c.attempt, c.step, c.file, c.hash, c.bytes, c.root_id, "                    \
  "runs.stage, runs.memory_bytes, runs.device_us, holder.started_unix_us, "                 \
  "1 + length(holder.slots) - length(replace(holder.slots, ' ', '')), "                     \
  "runs.sweep_id "
#define ALLO_RUN_JOINS                                                                    \
  "LEFT JOIN attempts AS holder ON holder.run_id = runs.run_id "                          \
  "AND holder.attempt = runs.attempt AND holder.state = 'LEASED' "                        \
  "LEFT JOIN checkpoints AS c ON c.run_id = runs.run_id AND (c.attempt, c.step) = "       \
  "(SELECT attempt, step FROM checkpoints WHERE run_id = runs.run_id AND state = 'GOOD' " \
  "ORDER BY step DESC, attempt DESC LIMIT 1) "
constexpr int kRunColumns = 35;

absl::StatusOr<v1::Run> ReadRun(const Statement& row) {
  v1::Run run;
  run.set_run_id(row.Int(0));
  run.set_key(row.Text(1));
  run.set_size(row.Text(2));
  if (!run.mutable_spec()->ParseFromString(row.Text(3))) {
    return absl::DataLossError(absl::StrCat("the spec of run ", run.run_id(), " is damaged"));
  }
  v1::ParamCounts& params = *run.mutable_params();
  params.set_blocks(row.Int(4));
  params.set_token_embedding(row.Int(5));
  params.set_position_embedding(row.Int(6));
  params.set_head(row.Int(7));
  params.set_extra(row.Int(8));
  run.set_n_params(row.Int(9));
  run.set_flops_per_token_6n(row.Real(10));
  run.set_flops_per_token_exact(row.Real(11));
  run.set_state(ParseRunState(row.Text(12)));
  run.set_failure(ParseFailure(row.Text(13)));
  run.set_reason(Shortened(row.Text(14), kLongestReason));
  run.set_attempt(static_cast<int32_t>(row.Int(15)));
  run.set_failures(static_cast<int32_t>(row.Int(16)));
  run.set_lost_leases(static_cast<int32_t>(row.Int(17)));
  run.set_step(row.Int(18));
  run.set_tokens_per_second(row.Real(19));
  run.set_last_train_loss(row.Real(20));
  run.set_last_heldout_loss(row.Real(21));
  run.set_agent(row.Text(22));
  if (!row.IsNull(23)) {
    *run.mutable_checkpoint() = ReadCheckpoint(row, 23);
  }
  run.set_stage(row.Text(29));
  run.set_memory_bytes(row.Int(30));
  run.set_device_seconds(static_cast<double>(row.Int(31)) / 1e6);
  return run;
}

// With what its LEASED attempt has used by `now_unix_us`.
absl::StatusOr<v1::Run> ReadListedRun(const Statement& row, int64_t now_unix_us) {
  ALLO_ASSIGN_OR_RETURN(v1::Run run, ReadRun(row));
  if (!row.IsNull(32)) {
    const double running_us = static_cast<double>(std::max<int64_t>(0, now_unix_us - row.Int(32)));
    run.set_device_seconds(run.device_seconds() +
                           running_us / 1e6 * static_cast<double>(row.Int(33)));
  }
  return run;
}

#define ALLO_ATTEMPT_COLUMNS                                                                \
  "run_id, attempt, token, agent_id, host, root_id, slots, state, stop, start_note, spec, " \
  "durable_sequence, ranks, hosts, micro_batch, device, device_model, trainer_build, "      \
  "step_backend, exit_reason, exit_message, exit_step, started_unix_us, ended_unix_us, "    \
  "stop_within_ms, stop_for, got_going, charged_to_host "

absl::StatusOr<Attempt> ReadAttempt(const Statement& row) {
  Attempt attempt;
  attempt.lease.set_run_id(row.Int(0));
  attempt.lease.set_attempt(static_cast<int32_t>(row.Int(1)));
  attempt.lease.set_token(row.Text(2));
  attempt.agent_id = row.Text(3);
  attempt.host = row.Text(4);
  attempt.root_id = row.Text(5);
  attempt.slots = ParseSlots(row.Text(6));
  attempt.state = ParseAttemptState(row.Text(7));
  attempt.stop = ParseStopAsked(row.Text(8));
  attempt.start_note = row.Text(9);
  if (!attempt.spec.ParseFromString(row.Text(10))) {
    return absl::DataLossError(
        absl::StrCat("the spec of attempt ", row.Int(1), " of run ", row.Int(0), " is damaged"));
  }
  attempt.durable_sequence = static_cast<uint64_t>(row.Int(11));
  if (!row.IsNull(12)) {
    attempt.numerics.set_ranks(static_cast<int32_t>(row.Int(12)));
    attempt.numerics.set_hosts(row.Text(13));
    attempt.numerics.set_micro_batch(static_cast<int32_t>(row.Int(14)));
    attempt.numerics.set_device(row.Text(15));
    attempt.numerics.set_device_model(row.Text(16));
    attempt.numerics.set_trainer_build(row.Text(17));
    attempt.numerics.set_step_backend(row.Text(18));
  }
  attempt.exit_reason = ParseFailure(row.Text(19));
  attempt.exit_message = row.Text(20);
  attempt.exit_step = row.Int(21);
  attempt.started_unix_us = row.Int(22);
  attempt.ended_unix_us = row.Int(23);
  attempt.stop_within_ms = row.Int(24);
  attempt.stop_for = ParseFailure(row.Text(25));
  attempt.made_progress = row.Int(26) != 0;
  attempt.charged_to_host = row.Int(27) != 0;
  return attempt;
}

absl::StatusOr<RunRow> ReadRunRow(const Statement& row) {
  RunRow loaded;
  ALLO_ASSIGN_OR_RETURN(loaded.run, ReadRun(row));
  loaded.sweep_id = row.Int(kRunColumns - 1);
  loaded.sweep = row.Text(kRunColumns);
  loaded.priority = static_cast<int32_t>(row.Int(kRunColumns + 1));
  loaded.flops_convention = run::Parse<run::FlopsConvention>(row.Text(kRunColumns + 2))
                                .value_or(run::FlopsConvention::k6nd);
  loaded.max_device_hours = row.Real(kRunColumns + 3);
  loaded.max_run_hours = row.Real(kRunColumns + 4);
  loaded.sweep_device_s = static_cast<double>(row.Int(kRunColumns + 5)) / 1e6;
  return loaded;
}

absl::Status AddAttemptAndInputs(Connection& db, RunRow& row) {
  for (const v1::RunInput& input : row.run.spec().inputs()) {
    const std::optional<run::InputKind> kind = KindOf(input);
    if (!kind.has_value() || row.input(*kind) != nullptr) continue;
    ALLO_ASSIGN_OR_RETURN(std::optional<InputRun> loaded, LoadInput(db, row.run.run_id(), *kind));
    if (loaded.has_value()) row.inputs.emplace(*kind, *std::move(loaded));
  }
  const auto evaluated = row.inputs.find(run::InputKind::kCheckpoint);
  if (evaluated != row.inputs.end()) {
    ALLO_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                          StepsToEvaluate(db, row.run.run_id(), row.run.spec()));
    ALLO_ASSIGN_OR_RETURN(evaluated->second.root_ids,
                          RootsWithAll(db, evaluated->second.run_id, steps));
  }
  if (row.run.attempt() == 0) return absl::OkStatus();
  ALLO_ASSIGN_OR_RETURN(row.attempt, LoadAttempt(db, row.run.run_id(), row.run.attempt()));
  return absl::OkStatus();
}

}  // namespace

v1::Checkpoint ReadCheckpoint(const Statement& row, int first) {
  v1::Checkpoint checkpoint;
  checkpoint.set_attempt(static_cast<int32_t>(row.Int(first)));
  checkpoint.set_step(row.Int(first + 1));
  checkpoint.set_file(row.Text(first + 2));
  checkpoint.set_hash(row.Text(first + 3));
  checkpoint.set_bytes(row.Int(first + 4));
  checkpoint.set_root_id(row.Text(first + 5));
  return checkpoint;
}

absl::StatusOr<RunRow> LoadRun(Connection& db, int64_t run_id) {
  RunRow loaded;
  {
    Statement find = db.Prepare("SELECT " ALLO_RUN_COLUMNS
                                ", sweeps.name, sweeps.priority, sweeps.flops_convention, "
                                "max_device_hours, max_run_hours, sweeps.device_us "
                                "FROM runs JOIN sweeps USING (sweep_id) " ALLO_RUN_JOINS
                                "WHERE runs.run_id = ?1");
    find.With(run_id);
    if (!find.Step()) {
      ALLO_RETURN_IF_ERROR(find.status());
      return absl::NotFoundError(absl::StrCat("there is no run ", run_id));
    }
    ALLO_ASSIGN_OR_RETURN(loaded, ReadRunRow(find));
  }
  ALLO_RETURN_IF_ERROR(AddAttemptAndInputs(db, loaded));
  return loaded;
}

absl::StatusOr<std::vector<RunRow>> LoadOpenRuns(Connection& db) {
  std::vector<RunRow> loaded;
  {
    Statement open = db.Prepare("SELECT " ALLO_RUN_COLUMNS
                                ", sweeps.name, sweeps.priority, sweeps.flops_convention, "
                                "max_device_hours, max_run_hours, sweeps.device_us "
                                "FROM runs JOIN sweeps USING (sweep_id) " ALLO_RUN_JOINS
                                "WHERE runs.state IN ('PENDING', 'LEASED') ORDER BY runs.run_id");
    while (open.Step()) {
      ALLO_ASSIGN_OR_RETURN(RunRow row, ReadRunRow(open));
      loaded.push_back(std::move(row));
    }
    ALLO_RETURN_IF_ERROR(open.status());
  }
  for (RunRow& row : loaded) ALLO_RETURN_IF_ERROR(AddAttemptAndInputs(db, row));
  return loaded;
}

absl::StatusOr<std::vector<v1::Run>> LoadRunsOfSweep(Connection& db, int64_t sweep_id,
                                                     int64_t now_unix_us) {
  std::vector<v1::Run> runs;
  {
    Statement count = db.Prepare("SELECT count(*) FROM runs WHERE sweep_id = ?1");
    count.With(sweep_id);
    if (count.Step()) runs.reserve(static_cast<size_t>(count.Int(0)));
    ALLO_RETURN_IF_ERROR(count.status());
  }
  Statement list = db.Prepare("SELECT " ALLO_RUN_COLUMNS "FROM runs " ALLO_RUN_JOINS
                              "WHERE runs.sweep_id = ?1 ORDER BY runs.run_id");
  list.With(sweep_id);
  while (list.Step()) {
    ALLO_ASSIGN_OR_RETURN(v1::Run run, ReadListedRun(list, now_unix_us));
    runs.push_back(std::move(run));
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return runs;
}

absl::StatusOr<std::vector<v1::Run>> LoadSomeRuns(Connection& db, int64_t sweep_id,
                                                  absl::Span<const int64_t> run_ids,
                                                  int64_t now_unix_us) {
  std::vector<v1::Run> runs;
  for (const int64_t run_id : run_ids) {
    Statement find = db.Prepare("SELECT " ALLO_RUN_COLUMNS "FROM runs " ALLO_RUN_JOINS
                                "WHERE runs.run_id = ?1 AND runs.sweep_id = ?2");
    find.With(run_id, sweep_id);
    if (!find.Step()) {
      ALLO_RETURN_IF_ERROR(find.status());
      continue;
    }
    ALLO_ASSIGN_OR_RETURN(v1::Run run, ReadListedRun(find, now_unix_us));
    runs.push_back(std::move(run));
  }
  return runs;
}

absl::StatusOr<Attempt> LoadAttempt(Connection& db, int64_t run_id, int32_t attempt) {
  Statement find =
      db.Prepare("SELECT " ALLO_ATTEMPT_COLUMNS "FROM attempts WHERE run_id = ?1 AND attempt = ?2");
  find.With(run_id, attempt);
  if (find.Step()) return ReadAttempt(find);
  ALLO_RETURN_IF_ERROR(find.status());
  return absl::NotFoundError(absl::StrCat("run ", run_id, " has no attempt ", attempt));
}

absl::StatusOr<std::vector<Attempt>> LoadAttempts(Connection& db, int64_t run_id) {
  std::vector<Attempt> attempts;
  Statement list =
      db.Prepare("SELECT " ALLO_ATTEMPT_COLUMNS "FROM attempts WHERE run_id = ?1 ORDER BY attempt");
  list.With(run_id);
  while (list.Step()) {
    ALLO_ASSIGN_OR_RETURN(Attempt attempt, ReadAttempt(list));
    attempts.push_back(std::move(attempt));
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return attempts;
}

absl::StatusOr<std::vector<int64_t>> MissingEvaluations(Connection& db, int64_t run_id,
                                                        const v1::RunSpec& spec) {
  std::set<int64_t> stored;
  Statement list = db.Prepare(
      "SELECT step FROM points WHERE run_id = ?1 AND value IS NOT NULL "
      "AND series_id = (SELECT series_id FROM series WHERE name = ?2)");
  // A policy is evaluated in its environment and has no loss.
  list.With(run_id, spec.kind() == run::NameOf(run::RunKind::kPolicy) ? "return" : "heldout");
  while (list.Step()) stored.insert(list.Int(0));
  ALLO_RETURN_IF_ERROR(list.status());
  std::vector<int64_t> missing;
  std::copy_if(spec.evaluation_steps().begin(), spec.evaluation_steps().end(),
               std::back_inserter(missing), [&](int64_t step) { return stored.count(step) == 0; });
  return missing;
}

absl::StatusOr<std::vector<int64_t>> StepsToEvaluate(Connection& db, int64_t run_id,
                                                     const v1::RunSpec& spec) {
  ALLO_ASSIGN_OR_RETURN(std::vector<int64_t> steps, MissingEvaluations(db, run_id, spec));
  if (steps.empty() && spec.evaluation_steps_size() > 0) {
    steps.push_back(*spec.evaluation_steps().rbegin());
  }
  return steps;
}

absl::StatusOr<std::optional<int64_t>> FirstMissingEvaluation(Connection& db, int64_t run_id,
                                                              const v1::RunSpec& spec) {
  ALLO_ASSIGN_OR_RETURN(const std::vector<int64_t> missing, MissingEvaluations(db, run_id, spec));
  if (missing.empty()) return std::optional<int64_t>();
  return std::optional<int64_t>(missing.front());
}

absl::StatusOr<std::optional<v1::Checkpoint>> StartCheckpoint(Connection& db, const RunRow& row,
                                                              absl::string_view root_id) {
  const v1::Run& run = row.run;
  int64_t latest = run.step();
  // An evaluation at the checkpoint's own step is taken before the checkpoint, so never again.
  ALLO_ASSIGN_OR_RETURN(const std::optional<int64_t> missing,
                        FirstMissingEvaluation(db, run.run_id(), run.spec()));
  if (missing.has_value()) latest = std::min(latest, *missing - 1);
  ALLO_ASSIGN_OR_RETURN(const std::optional<int64_t> unwritten,
                        FirstMissingCheckpoint(db, run.run_id(), run.spec()));
  if (unwritten.has_value()) latest = std::min(latest, *unwritten - 1);
  ALLO_ASSIGN_OR_RETURN(std::optional<v1::Checkpoint> own,
                        NewestCheckpoint(db, run.run_id(), latest, root_id));
  if (own.has_value()) own->clear_run_id();
  const InputRun* const trunk = row.input(run::InputKind::kTrunk);
  if (trunk == nullptr) return own;
  ALLO_ASSIGN_OR_RETURN(
      std::optional<v1::Checkpoint> of_trunk,
      NewestCheckpoint(db, trunk->run_id, run.spec().identity().decay_begin(), root_id));
  const int64_t own_step = own.has_value() ? own->step() : 0;
  return of_trunk.has_value() && of_trunk->step() > own_step ? of_trunk : own;
}

}  // namespace allometry::store
