// The view's branches: what each waits for, and what that makes of its trunk's duration.
#include <algorithm>
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
  BranchWait wait = WaitOf(run_id);
  OpenRun& run = runs_.at(run_id);
  run.by_limit = wait.blocked.empty();
  if (run.by_limit) wait.blocked = LimitOf(run.row);
  run.by_limit &= !wait.blocked.empty();
  const scheduler::RunState& before = state().runs.at(run_id);
  const bool bound = wait.root_is_live && CouldRunUnder(wait.root_id, before);
  if (before.blocked == wait.blocked && before.checkpoint_root_id == wait.root_id &&
      before.bound_to_root == bound) {
    return;
  }
  scheduler_.ChangeRun(run_id, [&](scheduler::RunState& own) {
    own.blocked = wait.blocked;
    own.checkpoint_root_id = wait.root_id;
    own.bound_to_root = bound;
  });
}

bool ClusterView::CouldRunUnder(const std::string& root_id, const scheduler::RunState& run) const {
  for (const auto& [agent_id, agent] : state().agents) {
    if (agent.run_root_id != root_id || !agent.live || !agent.drained.empty()) continue;
    if (!run.dataset_hash.empty() && agent.dataset_hashes.count(run.dataset_hash) == 0) continue;
    const std::vector<v1::Slot>& slots = agents_.at(agent_id).slots;
    const auto own_kind = std::count_if(slots.begin(), slots.end(), [&](const v1::Slot& slot) {
      return scheduler::DeviceKind(slot) == run.device;
    });
    if (own_kind >= run.ranks) return true;
  }
  return false;
}

void ClusterView::RefreshRoots() {
  std::set<std::string> live_roots;
  for (const auto& [agent_id, agent] : state().agents) {
    if (agent.live && agent.drained.empty()) live_roots.insert(agent.run_root_id);
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
