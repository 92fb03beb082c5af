// Sweeps as people see them: read, listed, cancelled, retried. Submissions are in submissions.cc.
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "coordinator/store/events.h"
#include "coordinator/store/input_runs.h"
#include "coordinator/store/names.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/run_rows.h"
#include "coordinator/store/stops.h"
#include "coordinator/store/sweep_rows.h"

namespace allometry::store {
namespace {

v1::Cell ReadCell(const Statement& row) {
  v1::Cell cell;
  cell.set_cell_id(row.Int(0));
  cell.set_run_id(row.Int(1));
  cell.set_size(row.Text(2));
  cell.set_params(row.Int(3));
  cell.set_asked_tokens(row.Real(4));
  cell.set_asked_flops(row.Real(5));
  cell.set_tokens(row.Int(6));
  cell.set_step(row.Int(7));
  cell.set_flops(row.Real(8));
  cell.set_epochs(row.Real(9));
  cell.set_done(row.Int(10) != 0);
  cell.set_loss(row.Real(11));
  cell.set_stage(row.Text(12));
  return cell;
}

// CROSS JOIN keeps the order of the loops, which is that of the indices: nothing is sorted, and
// each cell is one seek into its run's held-out curve.
#define ALLO_CELLS                                                                          \
  "SELECT c.cell_id, c.run_id, c.size, c.params, c.asked_tokens, c.asked_flops, c.tokens, " \
  "c.step, c.flops, c.epochs, p.value IS NOT NULL, p.value, c.stage "                       \
  "FROM runs AS r CROSS JOIN cells AS c ON c.run_id = r.run_id "                            \
  "LEFT JOIN points AS p ON p.run_id = c.run_id AND p.series_id = 1 AND p.step = c.step "

absl::StatusOr<std::vector<v1::Cell>> LoadCells(Connection& db, int64_t sweep_id, size_t runs) {
  std::vector<v1::Cell> cells;
  cells.reserve(runs);
  Statement list =
      db.Prepare(ALLO_CELLS "WHERE r.sweep_id = ?1 ORDER BY r.run_id, c.step, c.cell_id");
  list.With(sweep_id);
  while (list.Step()) cells.push_back(ReadCell(list));
  ALLO_RETURN_IF_ERROR(list.status());
  return cells;
}

absl::StatusOr<StoredSweep> LoadSomeOfSweep(Connection& db, absl::string_view name,
                                            absl::Span<const int64_t> run_ids,
                                            int64_t now_unix_us) {
  StoredSweep loaded;
  ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, name));
  ALLO_ASSIGN_OR_RETURN(std::vector<v1::Sweep> sweeps, LoadSweeps(db, sweep_id, now_unix_us));
  loaded.sweep = std::move(sweeps.at(0));
  ALLO_ASSIGN_OR_RETURN(loaded.runs, LoadSomeRuns(db, sweep_id, run_ids, now_unix_us));
  for (const v1::Run& run : loaded.runs) {
    Statement list = db.Prepare(ALLO_CELLS "WHERE r.run_id = ?1 ORDER BY c.step, c.cell_id");
    list.With(run.run_id());
    while (list.Step()) loaded.cells.push_back(ReadCell(list));
    ALLO_RETURN_IF_ERROR(list.status());
  }
  return loaded;
}

void TakeLoss(double loss, v1::Sweep& sweep) {
  if (!sweep.has_best_loss() || loss < sweep.best_loss()) sweep.set_best_loss(loss);
}

void CountRuns(v1::RunState state, int runs, v1::Sweep& sweep) {
  sweep.set_runs(sweep.runs() + runs);
  if (state == v1::RUN_SUCCEEDED) sweep.set_runs_succeeded(sweep.runs_succeeded() + runs);
  if (state == v1::RUN_FAILED) sweep.set_runs_failed(sweep.runs_failed() + runs);
  if (state == v1::RUN_CANCELLED) sweep.set_runs_cancelled(sweep.runs_cancelled() + runs);
  if (state == v1::LEASED) sweep.set_runs_leased(sweep.runs_leased() + runs);
}

// Without counts.
absl::StatusOr<std::vector<v1::Sweep>> LoadSweepRows(Connection& db, int64_t sweep_id,
                                                     int64_t now_unix_us) {
  std::vector<v1::Sweep> sweeps;
  Statement list = db.Prepare(
      "SELECT sweep_id, sweeps.name, datasets.name, params_policy, flops_convention, max_epochs, "
      "priority, created_unix_us, left_out, max_device_hours, max_run_hours, device_us + "
      "(SELECT coalesce(sum(max(0, ?2 - started_unix_us) * "
      "(1 + length(slots) - length(replace(slots, ' ', '')))), 0) "
      "FROM runs r JOIN attempts a ON a.run_id = r.run_id AND a.attempt = r.attempt "
      "WHERE r.sweep_id = sweeps.sweep_id AND r.state = 'LEASED'), imported, user, "
      "user_is_claimed, note, archived, deleting, (SELECT group_concat(tag, ' ') FROM "
      "(SELECT tag FROM sweep_tags AS t WHERE t.sweep_id = sweeps.sweep_id ORDER BY tag)) "
      "FROM sweeps JOIN datasets ON hash = dataset_hash "
      "WHERE ?1 = 0 OR sweep_id = ?1 ORDER BY sweep_id");
  list.With(sweep_id, now_unix_us);
  while (list.Step()) {
    v1::Sweep& sweep = sweeps.emplace_back();
    sweep.set_sweep_id(list.Int(0));
    sweep.set_name(list.Text(1));
    sweep.set_dataset(list.Text(2));
    sweep.set_params_policy(list.Text(3));
    sweep.set_flops_convention(list.Text(4));
    sweep.set_max_epochs(list.Real(5));
    sweep.set_priority(static_cast<int32_t>(list.Int(6)));
    sweep.set_created_unix_us(list.Int(7));
    for (const absl::string_view line : absl::StrSplit(list.Text(8), '\n', absl::SkipEmpty())) {
      sweep.add_left_out(std::string(line));
    }
    sweep.set_max_device_hours(list.Real(9));
    sweep.set_max_run_hours(list.Real(10));
    sweep.set_device_seconds(static_cast<double>(list.Int(11)) / 1e6);
    sweep.set_imported(list.Text(12));
    sweep.set_user(list.Text(13));
    sweep.set_user_is_claimed(list.Int(14) != 0 && !sweep.user().empty());
    sweep.set_note(list.Text(15));
    sweep.set_archived(list.Int(16) != 0);
    sweep.set_being_deleted(list.Int(17) != 0);
    for (const absl::string_view tag : absl::StrSplit(list.Text(18), ' ', absl::SkipEmpty())) {
      sweep.add_tags(std::string(tag));
    }
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return sweeps;
}

// A tokenizer that another sweep trains is shown with those that read it; it is counted there.
absl::Status AddSharedTokenizer(Connection& db, StoredSweep& loaded) {
  if (loaded.runs.empty() ||
      loaded.runs.front().spec().identity().tokenizer_key().empty()) {  // its own is the first run
    return absl::OkStatus();
  }
  ALLO_ASSIGN_OR_RETURN(const std::optional<InputRun> input,
                        LoadInput(db, loaded.runs.front().run_id(), run::InputKind::kTokenizer));
  if (!input.has_value()) return absl::OkStatus();
  ALLO_ASSIGN_OR_RETURN(RunRow row, LoadRun(db, input->run_id));
  loaded.runs.insert(loaded.runs.begin(), std::move(row.run));
  loaded.tokenizer_of = input->sweep;
  return absl::OkStatus();
}

absl::StatusOr<StoredSweep> LoadSweep(Connection& db, absl::string_view name, int64_t now_unix_us) {
  StoredSweep loaded;
  ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, name));
  ALLO_ASSIGN_OR_RETURN(std::vector<v1::Sweep> sweeps, LoadSweepRows(db, sweep_id, now_unix_us));
  loaded.sweep = std::move(sweeps.at(0));
  ALLO_ASSIGN_OR_RETURN(loaded.runs, LoadRunsOfSweep(db, sweep_id, now_unix_us));
  for (const v1::Run& run : loaded.runs) {
    CountRuns(run.state(), 1, loaded.sweep);
    if (run.stage().empty() && run.last_heldout_loss() != 0) {
      TakeLoss(run.last_heldout_loss(), loaded.sweep);
    }
  }
  ALLO_ASSIGN_OR_RETURN(loaded.cells, LoadCells(db, sweep_id, loaded.runs.size()));
  for (const v1::Cell& cell : loaded.cells) {
    if (cell.done() && cell.stage().empty()) TakeLoss(cell.loss(), loaded.sweep);
  }
  ALLO_RETURN_IF_ERROR(AddSharedTokenizer(db, loaded));
  loaded.sweep.set_cells(static_cast<int32_t>(loaded.cells.size()));
  loaded.sweep.set_cells_done(static_cast<int32_t>(std::count_if(
      loaded.cells.begin(), loaded.cells.end(), [](const v1::Cell& cell) { return cell.done(); })));
  Statement newest = db.Prepare(
      "SELECT max(expansion_id), (SELECT text FROM expansions WHERE sweep_id = ?1 "
      "AND kind = 'file' ORDER BY expansion_id DESC LIMIT 1), train_tokens "
      "FROM expansions JOIN sweeps USING (sweep_id) JOIN datasets ON hash = dataset_hash "
      "WHERE sweep_id = ?1 GROUP BY sweep_id");
  newest.With(sweep_id);
  if (newest.Step()) {
    loaded.newest_expansion = newest.Int(0);
    loaded.newest_text = newest.Text(1);
    loaded.train_tokens = newest.Int(2);
  }
  ALLO_RETURN_IF_ERROR(newest.status());
  return loaded;
}

absl::StatusOr<SweepSource> LoadSource(Connection& db, absl::string_view name) {
  SweepSource source;
  ALLO_ASSIGN_OR_RETURN(source.sweep_id, FindSweep(db, name));
  Statement newest = db.Prepare(
      "SELECT file_name, text, manifest_json FROM expansions JOIN sweeps USING (sweep_id) "
      "JOIN datasets ON hash = dataset_hash WHERE sweep_id = ?1 AND kind = 'file' "
      "ORDER BY expansion_id DESC LIMIT 1");
  newest.With(source.sweep_id);
  if (newest.Step()) {
    source.file_name = newest.Text(0);
    source.text = newest.Text(1);
    source.manifest_json = newest.Text(2);
  }
  ALLO_RETURN_IF_ERROR(newest.status());
  Statement decisions = db.Prepare(
      "SELECT text FROM expansions WHERE sweep_id = ?1 AND kind = 'stage' ORDER BY expansion_id");
  decisions.With(source.sweep_id);
  while (decisions.Step()) source.decisions.push_back(decisions.Text(0));
  ALLO_RETURN_IF_ERROR(decisions.status());
  return source;
}

// The runs of the sweep that `run_ids` names, all of them for none.
absl::StatusOr<std::vector<v1::Run>> ChosenRuns(Connection& db, absl::string_view sweep,
                                                int64_t sweep_id,
                                                absl::Span<const int64_t> run_ids) {
  ALLO_ASSIGN_OR_RETURN(std::vector<v1::Run> all, LoadRunsOfSweep(db, sweep_id, 0));
  if (run_ids.empty()) return all;
  std::map<int64_t, v1::Run> by_id;
  for (v1::Run& run : all) by_id.emplace(run.run_id(), std::move(run));
  std::vector<v1::Run> chosen;
  for (const int64_t run_id : run_ids) {
    const auto found = by_id.find(run_id);
    if (found == by_id.end()) {
      return absl::NotFoundError(absl::StrCat("sweep '", sweep, "' has no run ", run_id,
                                              "; 'allo runs ", sweep, "' lists them"));
    }
    chosen.push_back(found->second);
  }
  return chosen;
}

absl::Status CancelRun(Transaction& transaction, const v1::Run& run, int& touched) {
  if (run.state() == v1::PENDING) {
    ++touched;
    transaction.changed_runs.insert(run.run_id());
    return transaction.db
        .Prepare(
            "UPDATE runs SET state = 'CANCELLED', reason = "
            "'cancelled before it ended; ''allo retry'' takes it up again' WHERE run_id = ?1")
        .With(run.run_id())
        .Run();
  }
  if (run.state() == v1::LEASED) {
    ++touched;
    return AskToStop(transaction, run.run_id(), StopAsked::kCancel, 0);
  }
  return absl::OkStatus();
}

absl::Status RetryRun(Transaction& transaction, const v1::Run& run, int& touched) {
  if (run.state() != v1::RUN_FAILED && run.state() != v1::RUN_CANCELLED) return absl::OkStatus();
  ++touched;
  transaction.changed_runs.insert(run.run_id());
  return transaction.db
      .Prepare(
          "UPDATE runs SET state = 'PENDING', failure = '', reason = 'retried by hand', "
          "failures = 0, tries = '', lost_leases = 0 WHERE run_id = ?1")
      .With(run.run_id())
      .Run();
}

absl::Status PreemptRun(Transaction& transaction, const v1::Run& run, int64_t within_ms,
                        int& touched) {
  if (run.state() != v1::LEASED) return absl::OkStatus();
  ++touched;
  return AskToStop(transaction, run.run_id(), StopAsked::kPreempt, within_ms);
}

using Change = std::function<absl::Status(Transaction&, const v1::Run&, int& touched)>;

absl::StatusOr<int> ChangeRuns(Writer& writer, absl::string_view sweep,
                               absl::Span<const int64_t> run_ids, absl::string_view verb,
                               const Change& change) {
  int touched = 0;
  const absl::Status status = writer.Run([&](Transaction& transaction) -> absl::Status {
    touched = 0;
    ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(transaction.db, sweep));
    ALLO_ASSIGN_OR_RETURN(const std::vector<v1::Run> runs,
                          ChosenRuns(transaction.db, sweep, sweep_id, run_ids));
    for (const v1::Run& run : runs) ALLO_RETURN_IF_ERROR(change(transaction, run, touched));
    if (touched == 0) return absl::OkStatus();
    return InsertEvent(transaction, sweep_id, 0,
                       absl::StrCat(verb, ": ", touched, touched == 1 ? " run" : " runs"));
  });
  if (!status.ok()) return status;
  return touched;
}

}  // namespace

absl::Status BeingDeleted(absl::string_view name) {
  return absl::FailedPreconditionError(absl::StrCat("sweep '", name,
                                                    "' is being deleted: 'allo delete ", name,
                                                    "' ends it where it was interrupted"));
}

absl::StatusOr<int64_t> FindSweep(Connection& db, absl::string_view name) {
  {
    Statement find = db.Prepare("SELECT sweep_id, deleting FROM sweeps WHERE name = ?1");
    find.With(name);
    if (find.Step()) {
      if (find.Int(1) != 0) return BeingDeleted(name);
      return find.Int(0);
    }
    ALLO_RETURN_IF_ERROR(find.status());
  }
  std::vector<std::string> names;
  Statement list = db.Prepare("SELECT name FROM sweeps ORDER BY sweep_id DESC LIMIT 20");
  while (list.Step()) names.push_back(list.Text(0));
  ALLO_RETURN_IF_ERROR(list.status());
  return absl::NotFoundError(
      names.empty()
          ? absl::StrCat("there is no sweep '", name, "', nor any other yet")
          : absl::StrCat("there is no sweep '", name, "'; there is ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<std::vector<v1::Sweep>> LoadSweeps(Connection& db, int64_t sweep_id,
                                                  int64_t now_unix_us) {
  ALLO_ASSIGN_OR_RETURN(std::vector<v1::Sweep> sweeps, LoadSweepRows(db, sweep_id, now_unix_us));
  std::map<int64_t, v1::Sweep*> by_id;
  for (v1::Sweep& sweep : sweeps) by_id[sweep.sweep_id()] = &sweep;
  Statement runs = db.Prepare(
      "SELECT sweep_id, state, count(*), min(CASE stage WHEN '' THEN last_heldout_loss END) "
      "FROM runs WHERE ?1 = 0 OR sweep_id = ?1 "
      "GROUP BY sweep_id, state");
  runs.With(sweep_id);
  while (runs.Step()) {
    v1::Sweep& sweep = *by_id.at(runs.Int(0));
    CountRuns(ParseRunState(runs.Text(1)), static_cast<int>(runs.Int(2)), sweep);
    if (!runs.IsNull(3)) TakeLoss(runs.Real(3), sweep);
  }
  ALLO_RETURN_IF_ERROR(runs.status());
  Statement cells = db.Prepare(
      "SELECT r.sweep_id, count(*), count(p.value), min(CASE c.stage WHEN '' THEN p.value END) "
      "FROM runs AS r CROSS JOIN cells AS c ON c.run_id = r.run_id "
      "LEFT JOIN points AS p ON p.run_id = c.run_id AND p.series_id = 1 AND p.step = c.step "
      "WHERE ?1 = 0 OR r.sweep_id = ?1 GROUP BY r.sweep_id");
  cells.With(sweep_id);
  while (cells.Step()) {
    v1::Sweep& sweep = *by_id.at(cells.Int(0));
    sweep.set_cells(static_cast<int32_t>(cells.Int(1)));
    sweep.set_cells_done(static_cast<int32_t>(cells.Int(2)));
    if (!cells.IsNull(3)) TakeLoss(cells.Real(3), sweep);
  }
  ALLO_RETURN_IF_ERROR(cells.status());
  return sweeps;
}

absl::StatusOr<StoredSweep> Store::GetSweep(absl::string_view name) const {
  const int64_t now_unix_us = parts_->options.clock->UnixMicros();
  return parts_->readers->Run([&](Connection& db) { return LoadSweep(db, name, now_unix_us); });
}

absl::StatusOr<std::optional<TokenizerRun>> Store::FindTokenizer(absl::string_view run_key) const {
  return parts_->readers->Run([&](Connection& db) -> absl::StatusOr<std::optional<TokenizerRun>> {
    ALLO_ASSIGN_OR_RETURN(const int64_t run_id, UsableTokenizer(db, run_key));
    if (run_id == 0) return std::optional<TokenizerRun>();
    ALLO_ASSIGN_OR_RETURN(RunRow row, LoadRun(db, run_id));
    return std::optional<TokenizerRun>({std::move(row.run), std::move(row.sweep)});
  });
}

absl::StatusOr<std::vector<v1::Sweep>> Store::ListSweeps() const {
  const int64_t now_unix_us = parts_->options.clock->UnixMicros();
  return parts_->readers->Run([&](Connection& db) { return LoadSweeps(db, 0, now_unix_us); });
}

absl::StatusOr<StoredSweep> Store::GetRunsOf(absl::string_view sweep,
                                             absl::Span<const int64_t> run_ids) const {
  const int64_t now_unix_us = parts_->options.clock->UnixMicros();
  return parts_->readers->Run(
      [&](Connection& db) { return LoadSomeOfSweep(db, sweep, run_ids, now_unix_us); });
}

absl::StatusOr<SweepSource> Store::GetSource(absl::string_view name) const {
  return parts_->readers->Run([&](Connection& db) { return LoadSource(db, name); });
}

absl::StatusOr<int> Store::Cancel(absl::string_view sweep, absl::Span<const int64_t> run_ids) {
  return ChangeRuns(*parts_->writer, sweep, run_ids, "cancelled", CancelRun);
}

absl::StatusOr<int> Store::Preempt(absl::string_view sweep, absl::Span<const int64_t> run_ids,
                                   int64_t within_ms) {
  return ChangeRuns(*parts_->writer, sweep, run_ids, "preempted",
                    [within_ms](Transaction& transaction, const v1::Run& run, int& touched) {
                      return PreemptRun(transaction, run, within_ms, touched);
                    });
}

absl::StatusOr<int> Store::Retry(absl::string_view sweep, absl::Span<const int64_t> run_ids) {
  return ChangeRuns(*parts_->writer, sweep, run_ids, "retried", RetryRun);
}

}  // namespace allometry::store
