// A submission as rows. A sweep only grows: nothing here deletes, and no id of a deleted row is
// given again (used_ids), because run directories and messages name runs by their ids.
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/store/device_time.h"
#include "coordinator/store/events.h"
#include "coordinator/store/input_runs.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/run_rows.h"
#include "coordinator/store/schema.h"
#include "coordinator/store/sweep_rows.h"
#include "proto/run_choices.h"

namespace allometry::store {
namespace {

absl::Status CheckBase(Connection& db, const Submission& submission) {
  Statement newest = db.Prepare(
      "SELECT sweep_id, (SELECT coalesce(max(expansion_id), 0) FROM expansions e "
      "WHERE e.sweep_id = sweeps.sweep_id), deleting FROM sweeps WHERE name = ?1");
  newest.With(submission.sweep.name());
  const bool found = newest.Step();
  ALLO_RETURN_IF_ERROR(newest.status());
  if (found && newest.Int(2) != 0) return BeingDeleted(submission.sweep.name());
  if (submission.sweep.sweep_id() == 0) {
    if (!found) return absl::OkStatus();
    return absl::AlreadyExistsError(
        absl::StrCat("sweep '", submission.sweep.name(), "' was created meanwhile; submit again"));
  }
  if (!found || newest.Int(0) != submission.sweep.sweep_id()) {
    return absl::NotFoundError(absl::StrCat("there is no sweep '", submission.sweep.name(), "'"));
  }
  if (newest.Int(1) != submission.based_on) {
    return absl::AbortedError(
        absl::StrCat("sweep '", submission.sweep.name(), "' was changed meanwhile; submit again"));
  }
  return absl::OkStatus();
}

absl::Status PutDataset(Connection& db, const Dataset& dataset) {
  return db
      .Prepare(
          "INSERT INTO datasets (hash, name, manifest_json, train_tokens) "
          "VALUES (?1, ?2, ?3, ?4) ON CONFLICT (hash) DO NOTHING")
      .With(dataset.hash, dataset.name, dataset.manifest_json, dataset.train_tokens)
      .Run();
}

absl::StatusOr<int64_t> PutSweep(Transaction& transaction, const Submission& submission) {
  const v1::Sweep& sweep = submission.sweep;
  const std::string left_out = absl::StrJoin(sweep.left_out(), "\n");
  if (sweep.sweep_id() == 0) {
    ALLO_RETURN_IF_ERROR(
        transaction.db
            .Prepare("INSERT INTO sweeps (sweep_id, name, dataset_hash, params_policy, "
                     "flops_convention, max_epochs, priority, left_out, created_unix_us, "
                     "max_device_hours, max_run_hours, imported, user, user_is_claimed) VALUES "
                     "((SELECT u.id + 1 FROM used_ids AS u WHERE u.name = 'sweeps' AND u.id >= "
                     "(SELECT coalesce(max(sweep_id), 0) FROM sweeps)), "
                     "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")
            .With(sweep.name(), submission.dataset.hash, sweep.params_policy(),
                  sweep.flops_convention(), sweep.max_epochs(), sweep.priority(), left_out,
                  transaction.now_unix_us, sweep.max_device_hours(), sweep.max_run_hours(),
                  sweep.imported(), submission.user.name, submission.user.is_claimed)
            .Run());
    return transaction.db.last_insert_rowid();
  }
  ALLO_RETURN_IF_ERROR(transaction.db
                           .Prepare("UPDATE sweeps SET dataset_hash = ?2, params_policy = ?3, "
                                    "flops_convention = ?4, max_epochs = ?5, priority = ?6, "
                                    "left_out = ?7, max_device_hours = ?8, max_run_hours = ?9, "
                                    "imported = ?10 "
                                    "WHERE sweep_id = ?1")
                           .With(sweep.sweep_id(), submission.dataset.hash, sweep.params_policy(),
                                 sweep.flops_convention(), sweep.max_epochs(), sweep.priority(),
                                 left_out, sweep.max_device_hours(), sweep.max_run_hours(),
                                 sweep.imported())
                           .Run());
  // A priority is part of what a scheduler knows of every open run.
  Statement open = transaction.db.Prepare(
      "SELECT run_id FROM runs WHERE sweep_id = ?1 AND state IN ('PENDING', 'LEASED')");
  open.With(sweep.sweep_id());
  while (open.Step()) transaction.changed_runs.insert(open.Int(0));
  ALLO_RETURN_IF_ERROR(open.status());
  return sweep.sweep_id();
}

absl::StatusOr<int64_t> PutRun(Transaction& transaction, int64_t sweep_id, const v1::Run& run) {
  const v1::RunSpec& spec = run.spec();
  const v1::RunIdentity& identity = spec.identity();
  const v1::ModelShape& shape = identity.shape();
  const std::string spec_bytes = spec.SerializeAsString();
  ALLO_RETURN_IF_ERROR(
      transaction.db
          .Prepare(
              "INSERT INTO runs (run_id, sweep_id, run_key, size, n_params, layers, heads, width, "
              "context, vocabulary, batch_tokens, learning_rate, warmup_steps, seed, ranks, "
              "steps, params_blocks, params_token_embedding, params_position_embedding, "
              "params_head, params_extra, flops_per_token_6n, flops_per_token_exact, spec, "
              "state, failure, reason, attempt, failures, lost_leases, step, stage, "
              "schedule) VALUES "
              "((SELECT u.id + 1 FROM used_ids AS u WHERE u.name = 'runs' AND u.id >= "
              "(SELECT coalesce(max(run_id), 0) FROM runs)), "
              "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, "
              "?18, ?19, ?20, ?21, ?22, ?23, 'PENDING', '', '', 0, 0, 0, 0, ?24, ?25)")
          .With(sweep_id, run.key(), run.size(), run.n_params(), shape.layers(), shape.heads(),
                shape.width(), shape.context(), shape.vocabulary(), identity.batch_tokens(),
                identity.learning_rate(), identity.warmup_steps(), identity.seed(), spec.ranks(),
                spec.steps(), run.params().blocks(), run.params().token_embedding(),
                run.params().position_embedding(), run.params().head(), run.params().extra(),
                run.flops_per_token_6n(), run.flops_per_token_exact(), Blob{spec_bytes},
                run.stage(),
                identity.schedule().empty() ? run::NameOf(run::Schedule::kConstant)
                                            : identity.schedule())
          .Run());
  const int64_t run_id = transaction.db.last_insert_rowid();
  transaction.changed_runs.insert(run_id);
  return run_id;
}

// Inputs of new runs are known once every new run has its id.
absl::Status PutInputs(Connection& db, const std::map<std::string, int64_t>& run_ids,
                       const v1::Run& run) {
  for (const v1::RunInput& input : run.spec().inputs()) {
    const auto own = run_ids.find(input.run_key());
    int64_t made_by = own == run_ids.end() ? 0 : own->second;
    if (made_by == 0 && KindOf(input) == run::InputKind::kTokenizer) {
      ALLO_ASSIGN_OR_RETURN(made_by, UsableTokenizer(db, input.run_key()));
      // There was one when the submission was made, or it would have one of its own.
      if (made_by == 0) return absl::AbortedError("the tokenizer is no longer to be had");
    }
    if (made_by == 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("run %s (%s) needs the %s of run %s, which the sweep has not", run.key(),
                          run.size(), input.kind(), input.run_key()));
    }
    ALLO_RETURN_IF_ERROR(
        db.Prepare(
              "INSERT INTO run_inputs (run_id, kind, input_run_id, step) VALUES (?1, ?2, ?3, ?4)")
            .With(run_ids.at(run.key()), input.kind(), made_by, input.step())
            .Run());
  }
  return absl::OkStatus();
}

absl::Status PutCell(Connection& db, int64_t run_id, const v1::Cell& cell) {
  return db
      .Prepare(
          "INSERT INTO cells (run_id, size, params, asked_tokens, asked_flops, tokens, step, "
          "flops, epochs, stage) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")
      .With(run_id, cell.size(), cell.params(), cell.asked_tokens(), cell.asked_flops(),
            cell.tokens(), cell.step(), cell.flops(), cell.epochs(), cell.stage())
      .Run();
}

// A run of the tuning alone is not read by fits; one that ends a cell of the grid is.
absl::Status LeaveTuning(Connection& db, int64_t run_id) {
  return db.Prepare("UPDATE runs SET stage = '' WHERE run_id = ?1 AND stage = 'ladder'")
      .With(run_id)
      .Run();
}

absl::Status ChangeSpec(Transaction& transaction, int64_t sweep_id, const ChangedRun& changed) {
  const std::string spec_bytes = changed.spec.SerializeAsString();
  ALLO_RETURN_IF_ERROR(transaction.db
                           .Prepare("UPDATE runs SET spec = ?3, steps = ?4, ranks = ?5 "
                                    "WHERE run_id = ?1 AND sweep_id = ?2")
                           .With(changed.run_id, sweep_id, Blob{spec_bytes}, changed.spec.steps(),
                                 changed.spec.ranks())
                           .Run());
  if (transaction.db.changes() != 1) {
    return absl::NotFoundError(absl::StrCat("the sweep has no run ", changed.run_id));
  }
  return absl::OkStatus();
}

// What the scheduler takes for granted of every stored spec.
absl::Status CheckSpec(const std::string& what, const v1::RunSpec& spec) {
  if (spec.ranks() >= 1 && spec.steps() >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s has %d ranks and %d steps: both are at least 1", what, spec.ranks(), spec.steps()));
}

// SUCCEEDED -> PENDING where the run's spec asks for more than is stored.
absl::Status ReopenIfMissing(Transaction& transaction, int64_t run_id) {
  transaction.changed_runs.insert(run_id);
  ALLO_ASSIGN_OR_RETURN(const RunRow row, LoadRun(transaction.db, run_id));
  if (row.run.state() != v1::RUN_SUCCEEDED) return absl::OkStatus();
  ALLO_ASSIGN_OR_RETURN(const std::optional<int64_t> missing,
                        FirstMissingEvaluation(transaction.db, run_id, row.run.spec()));
  ALLO_ASSIGN_OR_RETURN(const std::optional<int64_t> unwritten,
                        FirstMissingCheckpoint(transaction.db, run_id, row.run.spec()));
  if (!missing.has_value() && !unwritten.has_value() && row.run.spec().steps() <= row.run.step()) {
    return absl::OkStatus();
  }
  const std::string reason =
      absl::StrFormat("more is asked of it: trained to step %d, now to step %d", row.run.step(),
                      row.run.spec().steps());
  return transaction.db
      .Prepare(
          "UPDATE runs SET state = 'PENDING', reason = ?2, failures = 0, tries = '', "
          "lost_leases = 0 "
          "WHERE run_id = ?1")
      .With(run_id, reason)
      .Run();
}

// run_key -> run_id of the sweep, and of a tokenizer of another one that its runs read.
absl::StatusOr<std::map<std::string, int64_t>> RunIds(Connection& db, int64_t sweep_id) {
  std::map<std::string, int64_t> ids;
  Statement list = db.Prepare("SELECT run_key, run_id FROM runs WHERE sweep_id = ?1");
  list.With(sweep_id);
  while (list.Step()) ids.emplace(list.Text(0), list.Int(1));
  ALLO_RETURN_IF_ERROR(list.status());
  Statement shared = db.Prepare(
      "SELECT t.run_key, t.run_id FROM runs AS r CROSS JOIN run_inputs AS i "
      "ON i.run_id = r.run_id AND i.kind = 'tokenizer' CROSS JOIN runs AS t "
      "ON t.run_id = i.input_run_id WHERE r.sweep_id = ?1 LIMIT 1");
  shared.With(sweep_id);
  while (shared.Step()) ids.emplace(shared.Text(0), shared.Int(1));
  ALLO_RETURN_IF_ERROR(shared.status());
  return ids;
}

absl::Status PutRunsAndCells(Transaction& transaction, int64_t sweep_id,
                             const Submission& submission) {
  ALLO_ASSIGN_OR_RETURN(auto run_ids, RunIds(transaction.db, sweep_id));
  for (const v1::Run& run : submission.new_runs) {
    ALLO_RETURN_IF_ERROR(CheckSpec(absl::StrCat("run ", run.size()), run.spec()));
    if (run_ids.count(run.key()) > 0) {
      return absl::InvalidArgumentError(absl::StrCat("the sweep has run ", run.key(), " already"));
    }
    ALLO_ASSIGN_OR_RETURN(run_ids[run.key()], PutRun(transaction, sweep_id, run));
  }
  for (const v1::Run& run : submission.new_runs) {
    ALLO_RETURN_IF_ERROR(PutInputs(transaction.db, run_ids, run));
  }
  std::set<int64_t> touched;
  for (const ChangedRun& changed : submission.changed_runs) {
    ALLO_RETURN_IF_ERROR(CheckSpec(absl::StrCat("run ", changed.run_id), changed.spec));
    ALLO_RETURN_IF_ERROR(ChangeSpec(transaction, sweep_id, changed));
    touched.insert(changed.run_id);
  }
  for (const NewCell& added : submission.new_cells) {
    const auto run = run_ids.find(added.run_key);
    if (run == run_ids.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a cell names run ", added.run_key, ", which the sweep has not"));
    }
    ALLO_RETURN_IF_ERROR(PutCell(transaction.db, run->second, added.cell));
    if (StageOf(added.cell) != run::Stage::kLadder) {
      ALLO_RETURN_IF_ERROR(LeaveTuning(transaction.db, run->second));
    }
    touched.insert(run->second);
  }
  for (const int64_t run_id : touched) {
    ALLO_RETURN_IF_ERROR(ReopenIfMissing(transaction, run_id));
  }
  return absl::OkStatus();
}

absl::Status PutImportedPoints(Transaction& transaction, int64_t sweep_id,
                               const Submission& submission) {
  if (submission.imported_points.empty()) return absl::OkStatus();
  Connection& db = transaction.db;
  ALLO_ASSIGN_OR_RETURN(const auto run_ids, RunIds(db, sweep_id));
  for (const ImportedPoints& imported : submission.imported_points) {
    const auto run = run_ids.find(imported.run_key);
    if (run == run_ids.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("points name run ", imported.run_key, ", which the sweep has not"));
    }
    const int64_t series = imported.of_training ? kTrainSeries : kHeldoutSeries;
    for (const CurvePoint& point : imported.points) {
      ALLO_RETURN_IF_ERROR(db.Prepare("INSERT INTO points (run_id, series_id, step, tokens, value, "
                                      "attempt) VALUES (?1, ?2, ?3, ?4, ?5, 0)")
                               .With(run->second, series, point.step, point.tokens, point.value)
                               .Run());
    }
    ALLO_RETURN_IF_ERROR(
        db.Prepare("UPDATE runs SET state = 'SUCCEEDED', failure = '', reason = ?2, step = steps, "
                   "last_heldout_loss = (SELECT value FROM points WHERE run_id = ?1 "
                   "AND series_id = ?3 ORDER BY step DESC LIMIT 1), "
                   "last_train_loss = (SELECT value FROM points WHERE run_id = ?1 "
                   "AND series_id = ?4 ORDER BY step DESC LIMIT 1) WHERE run_id = ?1")
            .With(run->second, absl::StrCat("imported: ", submission.sweep.imported()),
                  kHeldoutSeries, kTrainSeries)
            .Run());
  }
  return absl::OkStatus();
}

absl::Status PutExpansion(Transaction& transaction, int64_t sweep_id,
                          const Submission& submission) {
  ALLO_RETURN_IF_ERROR(
      transaction.db
          .Prepare("INSERT INTO expansions (sweep_id, file_name, text, submitted_unix_us, kind, "
                   "user) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
          .With(sweep_id, submission.file_name, submission.text, transaction.now_unix_us,
                run::NameOf(submission.kind), submission.user.name)
          .Run());
  if (!submission.event.empty()) return InsertEvent(transaction, sweep_id, 0, submission.event);
  return InsertEvent(transaction, sweep_id, 0,
                     absl::StrFormat("submitted: %d new runs, %d new cells, %d runs changed",
                                     submission.new_runs.size(), submission.new_cells.size(),
                                     submission.changed_runs.size()));
}

}  // namespace

absl::StatusOr<int64_t> Store::Submit(const Submission& submission) {
  int64_t sweep_id = 0;
  ALLO_RETURN_IF_ERROR(parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
    ALLO_RETURN_IF_ERROR(CheckBase(transaction.db, submission));
    ALLO_RETURN_IF_ERROR(PutDataset(transaction.db, submission.dataset));
    ALLO_ASSIGN_OR_RETURN(sweep_id, PutSweep(transaction, submission));
    ALLO_RETURN_IF_ERROR(PutRunsAndCells(transaction, sweep_id, submission));
    ALLO_RETURN_IF_ERROR(PutImportedPoints(transaction, sweep_id, submission));
    ALLO_RETURN_IF_ERROR(ReopenWithinLimit(transaction, sweep_id));
    return PutExpansion(transaction, sweep_id, submission);
  }));
  return sweep_id;
}

}  // namespace allometry::store
