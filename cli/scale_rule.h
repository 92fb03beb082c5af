// When `allo slurm scale` submits another worker job: a pure rule.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/status.h"

namespace allometry::cli {

// A worker job as squeue shows it.
struct SlurmJob {
  std::string state;  // "PENDING", "RUNNING", "FAILED", ...
  int nodes = 0;
};

struct ScaleLimits {
  int max_nodes = 0;
  int backlog = 1;  // runs that must wait for another job to be submitted
};

struct ScaleDecision {
  bool submit = false;
  bool pause = false;  // the last three jobs failed
  std::string reason;  // a sentence
};

// `jobs`: by id, ended ones as long as Slurm remembers them. `failures_forgiven`: jobs with an id
// up to this one do not count as failed. A job at a time waits in Slurm's queue: what it brings is
// seen before the next one.
ScaleDecision DecideScale(const std::map<int64_t, SlurmJob>& jobs, int64_t waiting_runs,
                          int64_t failures_forgiven, const ScaleLimits& limits);

// What `squeue -h -o "%i|%T|%D"` prints. InvalidArgument names a line of another form.
absl::StatusOr<std::map<int64_t, SlurmJob>> ParseQueue(absl::string_view text);

}  // namespace allometry::cli
