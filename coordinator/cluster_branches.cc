// The view's branches: what each waits for, and what that makes of its trunk's duration.
#include <set>
#include <string>
#include <utility>

#include "coordinator/branch_wait.h"
#include "coordinator/cluster_view.h"

namespace allometry::coordinator {

BranchWait ClusterView::WaitOf(int64_t run_id) const {
  const store::RunRow& row = runs_.at(run_id).row;
  const auto trunk = runs_.find(row.trunk->run_id);
  const int64_t trunk_step = trunk == runs_.end() ? row.trunk->step : trunk->second.row.run.step();
  return WaitOfBranch(row, trunk_step, live_roots_);
}

void ClusterView::RefreshBranch(int64_t run_id) {
  const BranchWait wait = WaitOf(run_id);
  const scheduler::RunState& before = state().runs.at(run_id);
  if (before.blocked == wait.blocked && before.checkpoint_root_id == wait.root_id) return;
  scheduler_.ChangeRun(run_id, [&](scheduler::RunState& run) {
    run.blocked = wait.blocked;
    run.checkpoint_root_id = wait.root_id;
  });
}

void ClusterView::RefreshRoots() {
  std::set<std::string> live_roots;
  for (const auto& [agent_id, agent] : state().agents) {
    if (agent.live) live_roots.insert(agent.run_root_id);
  }
  if (live_roots == live_roots_) return;
  live_roots_ = std::move(live_roots);
  for (const auto& [trunk_id, branches] : branches_) {
    for (const int64_t run_id : branches) {
      // Where no root has the checkpoint, no agent makes a difference.
      if (!runs_.at(run_id).row.trunk->root_ids.empty()) RefreshBranch(run_id);
    }
  }
}

void ClusterView::RefreshDuration(int64_t run_id) {
  const auto run = runs_.find(run_id);
  if (run == runs_.end()) return;
  const double flops_remaining = state().runs.at(run_id).flops_remaining;
  scheduler_.SetRemaining(run_id, flops_remaining, DurationOf(run->second, flops_remaining));
}

}  // namespace allometry::coordinator
