// What a run costs in time and memory, from what its parts were measured to take.
//
//   seconds = start + updates u + evaluations e + checkpoints c + hand-over
//
// A checkpoint is written every checkpoint_every_s of training, at the steps that other runs start
// from, and at the end. The hand-over is between one run's end on a slot and the next one's first
// instruction there: the exit record, its commit, a decision, a heartbeat (docs/results/plan.md).
#pragma once

#include <cstdint>
#include <string>

#include "proto/types.pb.h"

namespace allometry::cost {

struct RunCost {
  double start_s = 0;  // from the launch to the first update, and from the last one to the exit
  double update_s = 0;
  double evaluation_s = 0;
  double checkpoint_s = 0;
  double memory_bytes = 0;  // measured peak of a rank; 0: not known
  std::string source = "";  // "measured", "cached", "pace"
};

// Measured between runs on one slot: 0.06 to 0.14 s in all. Most of that is the end of the trainer,
// which is part of start_s.
inline constexpr double kHandOverS = 0.05;

// The step at which the run's next attempt begins: its newest checkpoint; of a LEASED or SUCCEEDED
// run its newest step; of a FAILED or CANCELLED run its last step, because it trains nothing unless
// it is retried.
int64_t NextStep(const v1::Run& run);

struct PlannedWork {
  int64_t updates = 0;
  int64_t evaluations = 0;
  int64_t kept_checkpoints = 0;  // at steps that others start from, and the last
};
// The work from NextStep to the end; all 0 if nothing is left.
PlannedWork WorkOf(const v1::Run& run);

// Seconds that the work takes.
double SecondsOf(const RunCost& cost, const PlannedWork& work, double checkpoint_every_s);

}  // namespace allometry::cost
