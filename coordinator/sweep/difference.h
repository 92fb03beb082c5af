// What a submission adds to the stored sweep of its name. A sweep only grows: no run or cell is
// ever removed, and the points of a run stay.
//
// Two runs are the same if their keys are equal. Two cells are the same if their run and their
// asked tokens (or their step) are equal. A budget within a run's steps takes the nearest step at
// which the run is evaluated (the evaluation grid is 20 a decade, so within 6 % of what was asked):
// no run trains again, and the result does not depend on how far the run happens to be. A budget
// beyond the run's steps is exact. Under a schedule that ends every budget is exact, because it has
// a run or branch of its own; trunk_growth.h says what its trunk does.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "coordinator/sweep/expansion.h"
#include "proto/types.pb.h"

namespace allometry::sweep {

// A sweep as stored. Of a new sweep everything is empty.
struct StoredSweep {
  v1::Sweep sweep;  // sweep_id 0: there is none of this name
  std::vector<v1::Run> runs;
  std::vector<v1::Cell> cells;
  std::map<int64_t, std::vector<int64_t>> checkpoints;  // run_id -> steps of those that exist
};

struct NewCell {
  std::string run_key;
  v1::Cell cell;  // run_id of the stored run, 0 when the run is new; cell_id 0
};

struct ChangedRun {
  int64_t run_id = 0;
  std::string key;
  v1::RunSpec spec;     // the whole new spec (start unset): from the run's next attempt on
  bool raised = false;  // more steps than before: a run that SUCCEEDED is PENDING again
};

struct Changes {
  // For people: "adds size 640k: 1 run, 5 cells"; "raises run 40k to 1e13 FLOPs: from step 2000 to
  // step 20000"; "removes nothing: size 5k is not in the file and stays".
  std::vector<std::string> lines;
  v1::Sweep sweep;                // the sweep's fields after the change (of a new one: sweep_id 0)
  std::vector<v1::Run> new_runs;  // run_id 0
  std::vector<NewCell> new_cells;
  std::vector<ChangedRun> changed_runs;
  bool sweep_changed =
      false;  // a field of `sweep` other than its counts differs from the stored one

  bool empty() const {
    return new_runs.empty() && new_cells.empty() && changed_runs.empty() && !sweep_changed;
  }
};

// FailedPrecondition, one line for each conflict, when the file contradicts what the sweep is:
// other data under the same name, another context, batch, schedule, decay, warm-up or optimizer,
// another parameter policy or FLOP convention, other held-out windows, a size label of another
// shape. Each says what the sweep has, what the file has, and to choose another name.
absl::StatusOr<Changes> Difference(const StoredSweep& stored, const Expansion& expansion);

}  // namespace allometry::sweep
