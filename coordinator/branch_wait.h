// Whether a branch can start, and where best. Pure.
//
// It waits while its trunk will still write the checkpoint it starts from and no worker that is
// there holds one. Where the trunk has failed, was cancelled or is past that step, the branch does
// not wait: it starts from what can be reached, and its attempt says so.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "coordinator/store/rows.h"

namespace allometry::coordinator {

struct BranchWait {
  std::string blocked;  // RunState::blocked: "needs run 7's checkpoint at step 400 (now at 120)"
  std::string root_id;  // the run root to prefer; empty: none
  bool root_is_live = false;
};

// `branch.trunk` is set. `trunk_step`: the newest step known of it. `live_roots`: of the workers
// that are there. With `root_is_live` the branch should go to such a worker and to no other.
BranchWait WaitOfBranch(const store::RunRow& branch, int64_t trunk_step,
                        const std::set<std::string>& live_roots);

}  // namespace allometry::coordinator
