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

// Seen between runs on one slot: 0.06 to 0.14 s, of which the trainer's end, which is in start_s,
// is most.
inline constexpr double kHandOverS = 0.05;

// Where its next attempt begins: its newest checkpoint, or what it has done when it runs or is
// done. FAILED and CANCELLED runs train nothing unless retried: their last step.
int64_t NextStep(const v1::Run& run);

struct PlannedWork {
  int64_t updates = 0;
  int64_t evaluations = 0;
  int64_t kept_checkpoints = 0;  // at steps that others start from, and the last
};
// From NextStep to the end; all 0 where nothing is left.
PlannedWork WorkOf(const v1::Run& run);

// Seconds until it is `updates` further, in the middle or at the end of its work.
double SecondsOf(const RunCost& cost, const PlannedWork& work, double checkpoint_every_s);

}  // namespace allometry::cost
