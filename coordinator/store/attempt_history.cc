// Runs whose clean curve was made under more than one numerics.
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/sweep_rows.h"

namespace allometry::store {
namespace {

struct Made {
  int64_t start_run_id = 0;   // whose checkpoint it started from
  int32_t start_attempt = 0;  // 0: from step 0
  int64_t start_step = 0;
  v1::Numerics numerics;
};

struct RunOfAttempts {
  std::string size;
  int32_t newest = 0;
  int64_t step = 0;  // newest durable
  std::map<int32_t, Made> attempts;
};

// Which ranks share a host, whatever the hosts' names: what the collective's order of additions
// may depend on.
std::string Grouping(const std::string& hosts) {
  std::map<std::string, size_t> seen;
  return absl::StrJoin(absl::StrSplit(hosts, ','), ",",
                       [&](std::string* out, absl::string_view host) {
                         const auto place = seen.emplace(host, seen.size()).first;
                         absl::StrAppend(out, place->second);
                       });
}

std::string WhatChanged(const v1::Numerics& before, const v1::Numerics& after) {
  std::vector<std::string> changes;
  const auto compare = [&](absl::string_view name, const std::string& a, const std::string& b) {
    if (a != b) changes.push_back(absl::StrFormat("%s %s to %s", name, a, b));
  };
  compare("ranks", absl::StrCat(before.ranks()), absl::StrCat(after.ranks()));
  compare("micro-batch", absl::StrCat(before.micro_batch()), absl::StrCat(after.micro_batch()));
  compare("device", before.device(), after.device());
  compare("device model", before.device_model(), after.device_model());
  compare("trainer", before.trainer_build(), after.trainer_build());
  compare("step", before.step_backend(), after.step_backend());
  if (before.ranks() == after.ranks() && Grouping(before.hosts()) != Grouping(after.hosts())) {
    compare("hosts", before.hosts(), after.hosts());
  }
  return absl::StrJoin(changes, ", ");
}

// Back from the newest attempt along the checkpoints that each started from, of a branch into its
// trunk: those are the ones whose updates are in the curve.
void AddChanges(int64_t run_id, const std::map<int64_t, RunOfAttempts>& runs,
                std::vector<ExecutionConfigChange>& changes) {
  const RunOfAttempts& run = runs.at(run_id);
  std::vector<ExecutionConfigChange> found;
  auto later = run.attempts.find(run.newest);
  if (later == run.attempts.end()) return;
  bool made_updates = run.step > later->second.start_step;
  // Every start was written before it was started from, so that the walk ends.
  while (later->second.start_attempt != 0) {
    const auto start = runs.find(later->second.start_run_id);
    if (start == runs.end()) break;
    const auto earlier = start->second.attempts.find(later->second.start_attempt);
    if (earlier == start->second.attempts.end()) break;
    if (made_updates) {
      std::string what = WhatChanged(earlier->second.numerics, later->second.numerics);
      if (!what.empty()) {
        found.push_back({run_id, run.size, later->second.start_step, std::move(what)});
      }
    }
    made_updates = true;
    later = earlier;
  }
  changes.insert(changes.end(), found.rbegin(), found.rend());
}

v1::Numerics ReadExecutionConfig(const Statement& row, int first) {
  v1::Numerics numerics;
  numerics.set_ranks(static_cast<int32_t>(row.Int(first)));
  numerics.set_hosts(row.Text(first + 1));
  numerics.set_micro_batch(static_cast<int32_t>(row.Int(first + 2)));
  numerics.set_device(row.Text(first + 3));
  numerics.set_device_model(row.Text(first + 4));
  numerics.set_trainer_build(row.Text(first + 5));
  numerics.set_step_backend(row.Text(first + 6));
  return numerics;
}

absl::StatusOr<std::vector<ExecutionConfigChange>> LoadChanges(Connection& db,
                                                               absl::string_view sweep) {
  ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
  std::map<int64_t, RunOfAttempts> runs;
  Statement list = db.Prepare(
      "SELECT a.run_id, r.size, r.attempt, r.step, a.attempt, a.start_attempt, a.start_step, "
      "a.start_run_id, a.ranks, a.hosts, a.micro_batch, a.device, a.device_model, a.trainer_build, "
      "a.step_backend "
      "FROM runs AS r JOIN attempts AS a USING (run_id) "
      "WHERE r.sweep_id = ?1");
  list.With(sweep_id);
  while (list.Step()) {
    RunOfAttempts& run = runs[list.Int(0)];
    run.size = list.Text(1);
    run.newest = static_cast<int32_t>(list.Int(2));
    run.step = list.Int(3);
    const int64_t start_run_id = list.Int(7) != 0 ? list.Int(7) : list.Int(0);
    run.attempts[static_cast<int32_t>(list.Int(4))] = {
        start_run_id, static_cast<int32_t>(list.Int(5)), list.Int(6), ReadExecutionConfig(list, 8)};
  }
  ALLO_RETURN_IF_ERROR(list.status());
  std::vector<ExecutionConfigChange> changes;
  for (const auto& [run_id, run] : runs) AddChanges(run_id, runs, changes);
  return changes;
}

absl::StatusOr<std::map<int64_t, std::string>> LoadFailureLogs(Connection& db,
                                                               absl::string_view sweep) {
  ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
  std::map<int64_t, std::string> words;
  Statement list = db.Prepare(
      "SELECT r.run_id, a.exit_message FROM runs AS r "
      "JOIN attempts AS a ON a.run_id = r.run_id AND a.attempt = r.attempt "
      "WHERE r.sweep_id = ?1 AND r.state = 'FAILED'");
  list.With(sweep_id);
  while (list.Step()) words[list.Int(0)] = list.Text(1);
  ALLO_RETURN_IF_ERROR(list.status());
  return words;
}

}  // namespace

absl::StatusOr<std::vector<ExecutionConfigChange>> Store::ExecutionConfigChanges(
    absl::string_view sweep) const {
  return parts_->readers->Run([&](Connection& db) { return LoadChanges(db, sweep); });
}

absl::StatusOr<std::map<int64_t, std::string>> Store::FailureLogs(absl::string_view sweep) const {
  return parts_->readers->Run([&](Connection& db) { return LoadFailureLogs(db, sweep); });
}

}  // namespace allometry::store
