#include "coordinator/branch_wait.h"

#include "absl/strings/str_format.h"

namespace allometry::coordinator {

BranchWait WaitOfBranch(const store::RunRow& branch, int64_t trunk_step,
                        const std::set<std::string>& live_roots) {
  const store::Trunk& trunk = *branch.trunk;
  const v1::Checkpoint& own = branch.run.checkpoint();
  const auto is_live = [&](const std::string& root_id) { return live_roots.count(root_id) > 0; };
  if (trunk.wanted_step == 0 || own.step() >= trunk.wanted_step) {
    return {"", own.root_id(), is_live(own.root_id())};
  }
  for (const std::string& root_id : trunk.root_ids) {
    if (is_live(root_id)) return {"", root_id, true};
  }
  if (trunk.is_to_come) {
    return {absl::StrFormat("needs run %d's checkpoint at step %d (now at %d)", trunk.run_id,
                            trunk.wanted_step, trunk_step),
            "", false};
  }
  return {"", trunk.root_ids.empty() ? own.root_id() : trunk.root_ids.front(), false};
}

}  // namespace allometry::coordinator
