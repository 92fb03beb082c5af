// Which checkpoint files may go.
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/store/input_runs.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/run_rows.h"
#include "coordinator/store/sweep_rows.h"

namespace allometry::store {
namespace {

struct CheckpointKey {
  int64_t run_id = 0;
  int32_t attempt = 0;
  int64_t step = 0;
};

// The index of checkpoints by root leaves deleted ones out, and SQLite takes it where a query says
// the same in its words: hence "state <> 'DELETED'" beside stronger conditions.

// GOOD or BAD ones under the root that neither their rank among the run's good ones nor a live
// attempt keeps. 'finished' keeps one, any other run two: the newest may turn out to be damaged.
absl::StatusOr<std::vector<CheckpointKey>> Candidates(Connection& db, absl::string_view root_id) {
  std::vector<CheckpointKey> candidates;
  Statement list = db.Prepare(
      "WITH ranked AS (SELECT c.*, r.state AS run_state, r.attempt AS newest_attempt, "
      "  row_number() OVER (PARTITION BY c.run_id, c.state = 'GOOD' "
      "                     ORDER BY c.step DESC, c.attempt DESC) AS place "
      "  FROM checkpoints AS c JOIN runs AS r USING (run_id) "
      "  WHERE c.root_id = ?1 AND c.state IN ('GOOD', 'BAD') AND c.state <> 'DELETED') "
      "SELECT run_id, attempt, step FROM ranked "
      "WHERE (state = 'BAD' OR place > CASE run_state WHEN 'SUCCEEDED' THEN 1 ELSE 2 END) "
      "AND NOT EXISTS (SELECT 1 FROM attempts AS a WHERE a.run_id = ranked.run_id "
      "  AND a.attempt = newest_attempt AND a.state <> 'ENDED' "
      "  AND a.start_run_id = 0 AND a.start_attempt = ranked.attempt "
      "  AND a.start_step = ranked.step) "
      "ORDER BY run_id, step");
  list.With(root_id);
  while (list.Step()) {
    candidates.push_back({list.Int(0), static_cast<int32_t>(list.Int(1)), list.Int(2)});
  }
  ALLO_RETURN_IF_ERROR(list.status());
  return candidates;
}

// The candidates without those that an attempt of the run or of a branch would start from now, and
// those that are kept for evaluations.
absl::StatusOr<std::vector<CheckpointKey>> NotNeeded(Connection& db, absl::string_view root_id) {
  ALLO_ASSIGN_OR_RETURN(const std::vector<CheckpointKey> candidates, Candidates(db, root_id));
  std::map<int64_t, std::optional<v1::Checkpoint>> starts;
  std::map<int64_t, std::set<std::pair<int32_t, int64_t>>> needed_by_others;
  std::vector<CheckpointKey> not_needed;
  for (const CheckpointKey& key : candidates) {
    if (starts.count(key.run_id) == 0) {
      ALLO_ASSIGN_OR_RETURN(const RunRow row, LoadRun(db, key.run_id));
      ALLO_ASSIGN_OR_RETURN(starts[key.run_id], StartCheckpoint(db, row, root_id));
      std::set<std::pair<int32_t, int64_t>>& needed = needed_by_others[key.run_id];
      ALLO_ASSIGN_OR_RETURN(needed, NeededByBranches(db, key.run_id, root_id));
      ALLO_ASSIGN_OR_RETURN(const auto kept,
                            KeptForEvaluations(db, key.run_id, row.run.spec(), root_id));
      needed.insert(kept.begin(), kept.end());
    }
    const std::optional<v1::Checkpoint>& start = starts[key.run_id];
    const bool needed = start.has_value() && start->run_id() == 0 &&
                        start->attempt() == key.attempt && start->step() == key.step;
    if (!needed && needed_by_others[key.run_id].count({key.attempt, key.step}) == 0) {
      not_needed.push_back(key);
    }
  }
  return not_needed;
}

absl::StatusOr<std::vector<std::string>> Named(Connection& db, absl::string_view root_id) {
  std::vector<std::string> paths;
  Statement list = db.Prepare(
      "SELECT run_id, file FROM checkpoints WHERE root_id = ?1 AND state = 'DELETABLE' "
      "AND state <> 'DELETED' ORDER BY run_id, step");
  list.With(root_id);
  while (list.Step()) paths.push_back(absl::StrCat("run-", list.Int(0), "/", list.Text(1)));
  ALLO_RETURN_IF_ERROR(list.status());
  return paths;
}

absl::Status Name(Transaction& transaction, absl::string_view root_id) {
  ALLO_ASSIGN_OR_RETURN(const std::vector<CheckpointKey> keys, NotNeeded(transaction.db, root_id));
  for (const CheckpointKey& key : keys) {
    ALLO_RETURN_IF_ERROR(transaction.db
                             .Prepare("UPDATE checkpoints SET state = 'DELETABLE' "
                                      "WHERE run_id = ?1 AND attempt = ?2 AND step = ?3")
                             .With(key.run_id, key.attempt, key.step)
                             .Run());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> Store::DeletableCheckpoints(absl::string_view root_id) {
  ALLO_ASSIGN_OR_RETURN(
      const std::vector<CheckpointKey> fresh,
      parts_->readers->Run([&](Connection& db) { return NotNeeded(db, root_id); }));
  if (!fresh.empty()) {
    // Looked for again in the transaction that marks them: what a run needs may have changed.
    ALLO_RETURN_IF_ERROR(
        parts_->writer->Run([&](Transaction& transaction) { return Name(transaction, root_id); }));
  }
  return parts_->readers->Run([&](Connection& db) { return Named(db, root_id); });
}

absl::StatusOr<std::map<int64_t, std::vector<int64_t>>> Store::CheckpointSteps(
    absl::string_view sweep) const {
  using Steps = std::map<int64_t, std::vector<int64_t>>;
  return parts_->readers->Run([&](Connection& db) -> absl::StatusOr<Steps> {
    ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
    Steps steps;
    Statement list = db.Prepare(
        "SELECT DISTINCT c.run_id, c.step FROM runs AS r JOIN checkpoints AS c "
        "ON c.run_id = r.run_id WHERE r.sweep_id = ?1 AND c.state = 'GOOD' "
        "ORDER BY c.run_id, c.step");
    list.With(sweep_id);
    while (list.Step()) steps[list.Int(0)].push_back(list.Int(1));
    ALLO_RETURN_IF_ERROR(list.status());
    return steps;
  });
}

absl::Status Store::CheckpointsDeleted(absl::string_view root_id,
                                       absl::Span<const std::string> paths) {
  return parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
    for (const std::string& path : paths) {
      ALLO_RETURN_IF_ERROR(
          transaction.db
              .Prepare("UPDATE checkpoints SET state = 'DELETED' WHERE root_id = ?1 "
                       "AND state = 'DELETABLE' AND state <> 'DELETED' AND 'run-' || run_id || '/' "
                       "|| file = ?2")
              .With(root_id, path)
              .Run());
    }
    return absl::OkStatus();
  });
}

}  // namespace allometry::store
