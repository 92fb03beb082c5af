// The view's branches: what each waits for, and what that makes of its trunk's duration.
#include <set>
#include <string>

#include "coordinator/branch_wait.h"
#include "coordinator/cluster_view.h"

namespace allometry::coordinator {

void ClusterView::RefreshBranch(int64_t run_id) {
  const store::RunRow& row = runs_.at(run_id).row;
  const auto trunk = runs_.find(row.trunk->run_id);
  const int64_t trunk_step = trunk == runs_.end() ? row.trunk->step : trunk->second.row.run.step();
  std::set<std::string> live_roots;
  for (const auto& [agent_id, agent] : state().agents) {
    if (agent.live) live_roots.insert(agent.run_root_id);
  }
  const BranchWait wait = WaitOfBranch(row, trunk_step, live_roots);
  const scheduler::RunState& before = state().runs.at(run_id);
  if (before.blocked == wait.blocked && before.checkpoint_root_id == wait.root_id) return;
  scheduler_.ChangeRun(run_id, [&](scheduler::RunState& run) {
    run.blocked = wait.blocked;
    run.checkpoint_root_id = wait.root_id;
  });
}

void ClusterView::RefreshBranchesOf(int64_t trunk_id) {
  const auto branches = branches_.find(trunk_id);
  if (branches == branches_.end()) return;
  for (const int64_t run_id : branches->second) RefreshBranch(run_id);
}

void ClusterView::RefreshBranches() {
  for (const auto& [trunk_id, branches] : branches_) RefreshBranchesOf(trunk_id);
}

void ClusterView::RefreshDuration(int64_t run_id) {
  const auto run = runs_.find(run_id);
  if (run == runs_.end()) return;
  const double flops_remaining = state().runs.at(run_id).flops_remaining;
  scheduler_.SetRemaining(run_id, flops_remaining, DurationOf(run->second, flops_remaining));
}

}  // namespace allometry::coordinator
