// Which training step an attempt on a CPU takes where run.json says "auto".
//
// A run keeps its step, for its bits depend on it: that of the attempt whose checkpoint it starts
// from (the trunk's, for a branch), otherwise that of its newest earlier attempt under this run
// root, as their spools say, where their device model was this one. Otherwise, at a run's first
// start or after a move to another machine, the steps that take the shape are timed
// (models/fastest_step.h). The attempt's numerics record what was chosen.
#pragma once

#include <string>

#include "base/status.h"
#include "run/run_spec.h"
#include "worker/comm/collective.h"
#include "worker/trainer/device.h"

namespace allometry::trainer {

struct StepChoice {
  std::string step_backend;  // a row of the training-step table
  std::string why;           // for the log
};

// On one rank. `device` is a CPU.
absl::StatusOr<StepChoice> ChooseStep(const std::string& run_dir, const run::RunSpec& spec,
                                      const ComputeDevice& device);

// Together with all ranks: rank 0 chooses, logs why where `log`, and every rank's *step_backend
// becomes its choice. Leaves "auto" where rank 0 found an error: creating the step then says it on
// every rank.
absl::Status AgreeOnStep(comm::Collective& collective, const std::string& run_dir,
                         const run::RunSpec& spec, const ComputeDevice& device, bool log,
                         std::string* step_backend);

}  // namespace allometry::trainer
