// Whether a run that needs another one's checkpoint can start, and where. Pure.
//
// A branch waits while its trunk will still write the checkpoint that it starts from and no
// connected worker holds one. If the trunk has failed, was cancelled or is past that step, the
// branch does not wait: it starts from the newest checkpoint that it can reach, and its attempt
// says so.
//
// A run that reads a tokenizer's tokens needs the tokenizer's file. It waits until the tokenizer's
// run has SUCCEEDED and a worker on the run root with the file could take it, and starts only
// there. So does a run that evaluates another one's checkpoints. A policy needs the checkpoint of
// its model's run, whatever became of that run after it.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "coordinator/store/rows.h"

namespace allometry::coordinator {

struct InputWait {
  // RunState::blocked: "needs run 7's checkpoint at step 400 (now at 120)"
  std::string blocked;
  std::string root_id;  // the run root to prefer; empty: none
  bool root_is_live = false;
};

struct InputKnowledge {
  const std::set<std::string>& live_roots;  // of the workers that are there
  // Whether a worker of that root has the slots and the data for the run.
  std::function<bool(const std::string& root_id)> could_run;
  // The newest step known of a run, given what its row says.
  std::function<int64_t(const store::InputRun& input)> step_of;
};

// `row` has a trunk, a run that it evaluates or a model, a tokenizer, or a tokenizer and one of the
// others. With `root_is_live` it should go to a worker of root_id and, where one could take it, to
// no other.
InputWait WaitForInputs(const store::RunRow& row, const InputKnowledge& known);

}  // namespace allometry::coordinator
