#include "coordinator/store/input_runs.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "coordinator/store/names.h"
#include "coordinator/store/run_rows.h"

namespace allometry::store {
namespace {

bool Leaves(const v1::RunSpec& spec, int64_t step) {
  return std::binary_search(spec.checkpoint_steps().begin(), spec.checkpoint_steps().end(), step);
}

// What the rows say of that run beside InputRun.
struct InputRows {
  v1::RunSpec spec;                    // of the run
  int32_t attempt = 0;                 // the newest
  std::optional<v1::RunSpec> given;    // of the attempt under way
  bool was_written = false;            // a checkpoint at the wanted step, whatever became of it
  bool was_written_by_newest = false;  // by that attempt
};

// Whether the run, if nothing fails, writes the wanted checkpoint from now on.
bool IsToCome(const InputRun& input, const InputRows& rows) {
  const int64_t step = input.wanted_step;
  if (input.state == v1::LEASED && rows.given.has_value()) {
    return Leaves(*rows.given, step) && rows.given->start().step() < step &&
           !rows.was_written_by_newest;
  }
  return input.state == v1::PENDING && Leaves(rows.spec, step) &&
         (!rows.was_written || input.step < step);
}

absl::Status ReadCheckpoints(Connection& db, InputRun& input, InputRows& rows) {
  Statement list =
      db.Prepare("SELECT attempt, state, root_id FROM checkpoints WHERE run_id = ?1 AND step = ?2");
  list.With(input.run_id, input.wanted_step);
  while (list.Step()) {
    rows.was_written = true;
    rows.was_written_by_newest |= list.Int(0) == rows.attempt;
    if (list.Text(1) == "GOOD") input.root_ids.push_back(list.Text(2));
  }
  return list.status();
}

absl::Status ReadGiven(Connection& db, const InputRun& input, InputRows& rows) {
  Statement find = db.Prepare("SELECT spec FROM attempts WHERE run_id = ?1 AND attempt = ?2");
  find.With(input.run_id, rows.attempt);
  if (!find.Step()) return find.status();
  if (!rows.given.emplace().ParseFromString(find.Text(0))) {
    return absl::DataLossError(absl::StrCat("the spec of attempt ", rows.attempt, " of run ",
                                            input.run_id, " is damaged"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<InputRun>> LoadInput(Connection& db, int64_t run_id,
                                                  run::InputKind kind) {
  InputRun input;
  InputRows rows;
  {
    Statement find = db.Prepare(
        "SELECT r.run_id, i.step, r.state, r.step, r.attempt, r.spec, s.name FROM run_inputs AS i "
        "JOIN runs AS r ON r.run_id = i.input_run_id JOIN sweeps AS s USING (sweep_id) "
        "WHERE i.run_id = ?1 AND i.kind = ?2");
    find.With(run_id, run::NameOf(kind));
    if (!find.Step()) {
      ALLO_RETURN_IF_ERROR(find.status());
      return std::optional<InputRun>();
    }
    input.run_id = find.Int(0);
    input.sweep = find.Text(6);
    input.wanted_step = find.Int(1);
    input.state = ParseRunState(find.Text(2));
    input.step = find.Int(3);
    rows.attempt = static_cast<int32_t>(find.Int(4));
    if (!rows.spec.ParseFromString(find.Text(5))) {
      return absl::DataLossError(absl::StrCat("the spec of run ", input.run_id, " is damaged"));
    }
  }
  // Needed when it has ended.
  const bool is_whole = kind == run::InputKind::kTokenizer || kind == run::InputKind::kCheckpoint;
  if (is_whole) input.wanted_step = rows.spec.steps();
  if (kind != run::InputKind::kCheckpoint) ALLO_RETURN_IF_ERROR(ReadCheckpoints(db, input, rows));
  if (is_whole) {
    input.is_to_come = input.state == v1::LEASED || input.state == v1::PENDING;
    return std::optional<InputRun>(std::move(input));
  }
  if (kind == run::InputKind::kModel) {
    const bool is_open = input.state == v1::LEASED || input.state == v1::PENDING;
    input.is_to_come = is_open && input.step < input.wanted_step;
    return std::optional<InputRun>(std::move(input));
  }
  if (input.state == v1::LEASED) ALLO_RETURN_IF_ERROR(ReadGiven(db, input, rows));
  input.is_to_come = IsToCome(input, rows);
  return std::optional<InputRun>(std::move(input));
}

absl::StatusOr<int64_t> UsableTokenizer(Connection& db, absl::string_view run_key) {
  Statement find = db.Prepare(
      "SELECT r.run_id FROM runs AS r WHERE r.stage = 'tokenizer' AND r.run_key = ?1 "
      "AND NOT EXISTS (SELECT 1 FROM sweeps AS s WHERE s.sweep_id = r.sweep_id AND s.deleting) "
      "AND (r.state IN ('PENDING', 'LEASED') OR (r.state = 'SUCCEEDED' AND EXISTS "
      "(SELECT 1 FROM checkpoints AS c WHERE c.run_id = r.run_id AND c.step = r.steps "
      "AND c.state = 'GOOD'))) ORDER BY r.state <> 'SUCCEEDED', r.run_id LIMIT 1");
  find.With(run_key);
  const int64_t run_id = find.Step() ? find.Int(0) : 0;
  ALLO_RETURN_IF_ERROR(find.status());
  return run_id;
}

absl::StatusOr<std::optional<v1::Checkpoint>> NewestCheckpoint(Connection& db, int64_t run_id,
                                                               int64_t last_step,
                                                               absl::string_view root_id) {
  Statement find = db.Prepare(
      "SELECT attempt, step, file, hash, bytes, root_id FROM checkpoints "
      "WHERE run_id = ?1 AND state = 'GOOD' AND step <= ?2 AND (root_id = ?3 OR ?3 = '') "
      "ORDER BY step DESC, attempt DESC LIMIT 1");
  find.With(run_id, last_step, root_id);
  if (!find.Step()) {
    ALLO_RETURN_IF_ERROR(find.status());
    return std::optional<v1::Checkpoint>();
  }
  v1::Checkpoint checkpoint = ReadCheckpoint(find, 0);
  checkpoint.set_run_id(run_id);
  return std::optional<v1::Checkpoint>(std::move(checkpoint));
}

absl::StatusOr<std::optional<int64_t>> FirstMissingCheckpoint(Connection& db, int64_t run_id,
                                                              const v1::RunSpec& spec) {
  for (const int64_t step : spec.checkpoint_steps()) {
    Statement find = db.Prepare("SELECT 1 FROM checkpoints WHERE run_id = ?1 AND step = ?2");
    find.With(run_id, step);
    const bool found = find.Step();
    ALLO_RETURN_IF_ERROR(find.status());
    if (!found) return std::optional<int64_t>(step);
  }
  return std::optional<int64_t>();
}

absl::StatusOr<std::vector<std::string>> RootsWithAll(Connection& db, int64_t run_id,
                                                      const std::vector<int64_t>& steps) {
  std::map<std::string, size_t> steps_of_root;
  for (const int64_t step : steps) {
    Statement list = db.Prepare(
        "SELECT DISTINCT root_id FROM checkpoints WHERE run_id = ?1 AND step = ?2 "
        "AND state = 'GOOD'");
    list.With(run_id, step);
    while (list.Step()) ++steps_of_root[list.Text(0)];
    ALLO_RETURN_IF_ERROR(list.status());
  }
  std::vector<std::string> roots;
  for (const auto& [root, count] : steps_of_root) {
    if (count == steps.size()) roots.push_back(root);
  }
  return roots;
}

absl::StatusOr<std::set<std::pair<int32_t, int64_t>>> KeptForEvaluations(
    Connection& db, int64_t run_id, const v1::RunSpec& spec, absl::string_view root_id) {
  std::set<std::pair<int32_t, int64_t>> kept;
  if (!spec.keep_checkpoints()) return kept;
  for (const int64_t step : spec.checkpoint_steps()) {
    ALLO_ASSIGN_OR_RETURN(const std::optional<v1::Checkpoint> newest,
                          NewestCheckpoint(db, run_id, step, root_id));
    if (newest.has_value() && newest->step() == step) kept.emplace(newest->attempt(), step);
  }
  return kept;
}

absl::StatusOr<std::vector<int64_t>> WaitingFor(Connection& db, int64_t run_id) {
  std::vector<int64_t> waiting;
  Statement list = db.Prepare(
      "SELECT r.run_id FROM run_inputs AS i JOIN runs AS r ON r.run_id = i.run_id "
      "WHERE i.input_run_id = ?1 AND r.state = 'PENDING' ORDER BY r.run_id");
  list.With(run_id);
  while (list.Step()) waiting.push_back(list.Int(0));
  ALLO_RETURN_IF_ERROR(list.status());
  return waiting;
}

absl::StatusOr<std::set<std::pair<int32_t, int64_t>>> NeededByBranches(Connection& db,
                                                                       int64_t run_id,
                                                                       absl::string_view root_id) {
  std::set<std::pair<int32_t, int64_t>> needed;
  std::set<int64_t> starts;
  {
    Statement list = db.Prepare(
        "SELECT i.step, a.start_attempt, a.start_step, a.state, a.start_run_id "
        "FROM run_inputs AS i JOIN runs AS r ON r.run_id = i.run_id "
        "LEFT JOIN attempts AS a ON a.run_id = r.run_id AND a.attempt = r.attempt "
        "WHERE i.input_run_id = ?1 AND i.kind IN ('trunk', 'model') "
        "AND r.state <> 'SUCCEEDED'");
    list.With(run_id);
    while (list.Step()) {
      starts.insert(list.Int(0));
      if (list.IsNull(3) || list.Text(3) == "ENDED" || list.Int(4) != run_id) continue;
      needed.emplace(static_cast<int32_t>(list.Int(1)), list.Int(2));
    }
    ALLO_RETURN_IF_ERROR(list.status());
  }
  for (const int64_t step : starts) {
    ALLO_ASSIGN_OR_RETURN(const std::optional<v1::Checkpoint> start,
                          NewestCheckpoint(db, run_id, step, root_id));
    if (start.has_value()) needed.emplace(start->attempt(), start->step());
  }
  return needed;
}

}  // namespace allometry::store
