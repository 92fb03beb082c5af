// A sweep's removal. One transaction decides it and cannot be taken back (Begin); the rows go in
// batches after it, so that records and leases of other sweeps are written in between, and the
// sweep's own row goes last: where the process ends in between, the sweep is still there, marked,
// and a second call goes on.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/store/events.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/sweep_rows.h"

namespace allometry::store {
namespace {

// Rows of one transaction: some 20 ms.
constexpr int64_t kBatch = 20'000;

struct Found {
  int64_t sweep_id = 0;
  bool deleting = false;
};

absl::StatusOr<Found> Find(Connection& db, absl::string_view name) {
  {
    Statement find = db.Prepare("SELECT sweep_id, deleting FROM sweeps WHERE name = ?1");
    find.With(name);
    if (find.Step()) return Found{find.Int(0), find.Int(1) != 0};
    ALLO_RETURN_IF_ERROR(find.status());
  }
  return FindSweep(db, name).status();  // that lists the names there are
}

absl::Status RefuseOpen(Connection& db, absl::string_view name, int64_t sweep_id) {
  Statement count = db.Prepare(
      "SELECT count(*) FILTER (WHERE state = 'PENDING'), count(*) FILTER (WHERE state = 'LEASED') "
      "FROM runs WHERE sweep_id = ?1 AND state IN ('PENDING', 'LEASED')");
  count.With(sweep_id);
  const bool found = count.Step();
  ALLO_RETURN_IF_ERROR(count.status());
  if (!found || count.Int(0) + count.Int(1) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "sweep '%s' has not ended: %d runs wait and %d run; 'allo cancel %s' ends them", name,
      count.Int(0), count.Int(1), name));
}

absl::Status RefuseRead(Connection& db, absl::string_view name, int64_t sweep_id) {
  std::vector<std::string> readers;
  Statement list = db.Prepare(
      "SELECT DISTINCT s.name FROM runs AS r JOIN run_inputs AS i ON i.input_run_id = r.run_id "
      "JOIN runs AS reader ON reader.run_id = i.run_id JOIN sweeps AS s "
      "ON s.sweep_id = reader.sweep_id WHERE r.sweep_id = ?1 AND s.sweep_id <> ?1 "
      "ORDER BY s.sweep_id LIMIT 5");
  list.With(sweep_id);
  while (list.Step()) readers.push_back(list.Text(0));
  ALLO_RETURN_IF_ERROR(list.status());
  if (readers.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "sweep '%s' has runs whose results other sweeps read (%s): delete those first", name,
      absl::StrJoin(readers, ", ")));
}

absl::Status CheckDeletable(Connection& db, absl::string_view name, int64_t sweep_id) {
  ALLO_RETURN_IF_ERROR(RefuseOpen(db, name, sweep_id));
  return RefuseRead(db, name, sweep_id);
}

absl::StatusOr<int64_t> Count(Connection& db, const char* sql, int64_t sweep_id) {
  Statement count = db.Prepare(sql);
  count.With(sweep_id);
  const int64_t found = count.Step() ? count.Int(0) : 0;
  ALLO_RETURN_IF_ERROR(count.status());
  return found;
}

absl::Status CountCheckpoints(Connection& db, int64_t sweep_id, DeletionSummary& summary) {
  Statement count = db.Prepare(
      "SELECT count(*), coalesce(sum(c.bytes), 0) FROM runs AS r JOIN checkpoints AS c "
      "USING (run_id) WHERE r.sweep_id = ?1 AND c.state <> 'DELETED'");
  count.With(sweep_id);
  if (count.Step()) {
    summary.checkpoints = count.Int(0);
    summary.checkpoint_bytes = count.Int(1);
  }
  return count.status();
}

// Of a sweep whose deletion has begun these are in deletable_runs already.
absl::Status CountDirectories(Connection& db, const Found& sweep, DeletionSummary& summary) {
  Statement count = db.Prepare(
      "SELECT root_id, count(DISTINCT run_id) FROM (SELECT a.root_id, a.run_id FROM runs AS r "
      "JOIN attempts AS a USING (run_id) WHERE r.sweep_id = ?1 UNION ALL SELECT d.root_id, "
      "d.run_id "
      "FROM runs AS r JOIN deletable_runs AS d USING (run_id) WHERE r.sweep_id = ?1) "
      "GROUP BY root_id");
  count.With(sweep.sweep_id);
  while (count.Step()) summary.directories[count.Text(0)] = count.Int(1);
  return count.status();
}

absl::StatusOr<DeletionSummary> Summarize(Connection& db, const Found& sweep) {
  const int64_t id = sweep.sweep_id;
  DeletionSummary summary;
  ALLO_ASSIGN_OR_RETURN(summary.runs,
                        Count(db, "SELECT count(*) FROM runs WHERE sweep_id = ?1", id));
  ALLO_ASSIGN_OR_RETURN(
      summary.points,
      Count(db,
            "SELECT (SELECT count(*) FROM runs AS r JOIN points AS p USING (run_id) "
            "WHERE r.sweep_id = ?1) + (SELECT count(*) FROM runs AS r JOIN archived_points AS p "
            "USING (run_id) WHERE r.sweep_id = ?1)",
            id));
  ALLO_ASSIGN_OR_RETURN(summary.fits,
                        Count(db, "SELECT count(*) FROM fits WHERE sweep_id = ?1", id));
  ALLO_ASSIGN_OR_RETURN(summary.predictions,
                        Count(db,
                              "SELECT count(*) FROM fits AS f JOIN predictions AS p USING (fit_id) "
                              "WHERE f.sweep_id = ?1",
                              id));
  ALLO_RETURN_IF_ERROR(CountCheckpoints(db, id, summary));
  ALLO_RETURN_IF_ERROR(CountDirectories(db, sweep, summary));
  return summary;
}

// From here on no attempt of the sweep can write: its row is gone, and CheckFence says so.
absl::Status Begin(Connection& db, int64_t sweep_id) {
  ALLO_RETURN_IF_ERROR(
      db.Prepare("INSERT INTO deletable_runs (root_id, run_id, run_key) SELECT DISTINCT a.root_id, "
                 "r.run_id, r.run_key FROM runs AS r JOIN attempts AS a USING (run_id) "
                 "WHERE r.sweep_id = ?1 ON CONFLICT DO NOTHING")
          .With(sweep_id)
          .Run());
  ALLO_RETURN_IF_ERROR(db.Prepare("DELETE FROM attempts WHERE run_id IN "
                                  "(SELECT run_id FROM runs WHERE sweep_id = ?1)")
                           .With(sweep_id)
                           .Run());
  ALLO_RETURN_IF_ERROR(db.Prepare("DELETE FROM checkpoints WHERE run_id IN "
                                  "(SELECT run_id FROM runs WHERE sweep_id = ?1)")
                           .With(sweep_id)
                           .Run());
  return db.Prepare("UPDATE sweeps SET deleting = 1 WHERE sweep_id = ?1").With(sweep_id).Run();
}

// At most kBatch rows of each kind that a run may have millions of. False: there are none left.
absl::StatusOr<bool> RemoveBatch(Connection& db, int64_t run_id) {
  constexpr const char* kTables[] = {
      "DELETE FROM points WHERE (run_id, series_id, step) IN (SELECT run_id, series_id, step "
      "FROM points WHERE run_id = ?1 LIMIT ?2)",
      "DELETE FROM archived_points WHERE (run_id, attempt, series_id, step) IN (SELECT run_id, "
      "attempt, series_id, step FROM archived_points WHERE run_id = ?1 LIMIT ?2)",
      "DELETE FROM set_aside WHERE (run_id, attempt, sequence) IN (SELECT run_id, attempt, "
      "sequence FROM set_aside WHERE run_id = ?1 LIMIT ?2)"};
  bool more = false;
  for (const char* remove : kTables) {
    ALLO_RETURN_IF_ERROR(db.Prepare(remove).With(run_id, kBatch).Run());
    more |= db.changes() == kBatch;
  }
  return more;
}

absl::Status RemoveRest(Transaction& transaction, absl::string_view name, int64_t sweep_id,
                        const User& user) {
  Connection& db = transaction.db;
  // Another sweep may have taken one of the runs as an input before the first transaction alone:
  // its row would refer to nothing, and SQLite refuses that.
  constexpr const char* kStatements[] = {
      "UPDATE used_ids SET id = max(id, (SELECT coalesce(max(run_id), 0) FROM runs "
      "WHERE sweep_id = ?1)) WHERE name = 'runs'",
      "UPDATE used_ids SET id = max(id, ?1) WHERE name = 'sweeps'",
      "DELETE FROM run_inputs WHERE run_id IN (SELECT run_id FROM runs WHERE sweep_id = ?1)",
      "DELETE FROM cells WHERE run_id IN (SELECT run_id FROM runs WHERE sweep_id = ?1)",
      "DELETE FROM runs WHERE sweep_id = ?1",
      "DELETE FROM predictions WHERE fit_id IN (SELECT fit_id FROM fits WHERE sweep_id = ?1)",
      "DELETE FROM fits WHERE sweep_id = ?1",
      "DELETE FROM expansions WHERE sweep_id = ?1",
      "DELETE FROM sweep_tags WHERE sweep_id = ?1",
      "DELETE FROM sweeps WHERE sweep_id = ?1"};
  for (const char* statement : kStatements) {
    ALLO_RETURN_IF_ERROR(db.Prepare(statement).With(sweep_id).Run());
  }
  // Before the others go: ids of events rise for ever, and watchers count on that.
  ALLO_RETURN_IF_ERROR(InsertEvent(
      transaction, 0, 0,
      absl::StrCat("sweep '", name, "' was deleted", user.name.empty() ? "" : " by ", user.name)));
  return db.Prepare("DELETE FROM events WHERE sweep_id = ?1").With(sweep_id).Run();
}

absl::StatusOr<std::vector<int64_t>> RunsOf(Connection& db, int64_t sweep_id) {
  std::vector<int64_t> runs;
  Statement list = db.Prepare("SELECT run_id FROM runs WHERE sweep_id = ?1 ORDER BY run_id");
  list.With(sweep_id);
  while (list.Step()) runs.push_back(list.Int(0));
  ALLO_RETURN_IF_ERROR(list.status());
  return runs;
}

}  // namespace

absl::StatusOr<DeletionSummary> Store::PlanDeletion(absl::string_view sweep) const {
  return parts_->readers->Run([&](Connection& db) -> absl::StatusOr<DeletionSummary> {
    ALLO_ASSIGN_OR_RETURN(const Found found, Find(db, sweep));
    if (!found.deleting) ALLO_RETURN_IF_ERROR(CheckDeletable(db, sweep, found.sweep_id));
    return Summarize(db, found);
  });
}

absl::StatusOr<DeletionSummary> Store::Delete(absl::string_view sweep, const User& user,
                                              const std::function<bool()>& stop) {
  // Counted by a reader: a long count must not hold the writer.
  ALLO_ASSIGN_OR_RETURN(const DeletionSummary summary, PlanDeletion(sweep));
  Found found;
  ALLO_RETURN_IF_ERROR(parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
    ALLO_ASSIGN_OR_RETURN(found, Find(transaction.db, sweep));
    if (found.deleting) return absl::OkStatus();
    ALLO_RETURN_IF_ERROR(CheckDeletable(transaction.db, sweep, found.sweep_id));
    return Begin(transaction.db, found.sweep_id);
  }));
  ALLO_ASSIGN_OR_RETURN(const std::vector<int64_t> runs, parts_->readers->Run([&](Connection& db) {
    return RunsOf(db, found.sweep_id);
  }));
  for (const int64_t run_id : runs) {
    for (bool more = true; more;) {
      if (stop()) {
        return absl::CancelledError(
            absl::StrCat("the deletion of sweep '", sweep, "' was interrupted: call it again"));
      }
      ALLO_RETURN_IF_ERROR(parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
        ALLO_ASSIGN_OR_RETURN(more, RemoveBatch(transaction.db, run_id));
        return absl::OkStatus();
      }));
    }
  }
  ALLO_RETURN_IF_ERROR(parts_->writer->Run([&](Transaction& transaction) {
    return RemoveRest(transaction, sweep, found.sweep_id, user);
  }));
  return summary;
}

absl::StatusOr<std::vector<DeletableRun>> Store::DeletableRuns(absl::string_view root_id) const {
  return parts_->readers->Run([&](Connection& db) -> absl::StatusOr<std::vector<DeletableRun>> {
    std::vector<DeletableRun> runs;
    Statement list = db.Prepare(
        "SELECT run_id, run_key FROM deletable_runs WHERE root_id = ?1 ORDER BY run_id LIMIT 200");
    list.With(root_id);
    while (list.Step()) runs.push_back({list.Int(0), list.Text(1)});
    ALLO_RETURN_IF_ERROR(list.status());
    return runs;
  });
}

absl::Status Store::RunsDeleted(absl::string_view root_id, absl::Span<const int64_t> run_ids) {
  if (run_ids.empty()) return absl::OkStatus();
  return parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
    for (const int64_t run_id : run_ids) {
      ALLO_RETURN_IF_ERROR(
          transaction.db.Prepare("DELETE FROM deletable_runs WHERE root_id = ?1 AND run_id = ?2")
              .With(root_id, run_id)
              .Run());
    }
    return absl::OkStatus();
  });
}

}  // namespace allometry::store
