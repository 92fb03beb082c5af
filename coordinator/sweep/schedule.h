// The learning-rate schedule of a sweep, and which runs it needs for a cell (docs/sweep-file.md).
//
//   constant   the cells of a (size, seed) are points of one run
//   wsd        one trunk run of a (size, seed) at a constant rate, and for each cell a branch that
//              starts from the trunk's checkpoint at decay_begin and falls to its last step
//   cosine     every cell is a run of its own
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/yaml_fields.h"
#include "proto/types.pb.h"
#include "run/choices.h"

namespace allometry::sweep {

struct ScheduleChoice {
  run::Schedule kind = run::Schedule::kConstant;
  double decay_fraction = 0.2;     // wsd: share of a cell's steps over which the rate falls
  double final_rate_fraction = 0;  // wsd, cosine: of the peak, at the last step
};

// The keys schedule, decay_fraction and final_rate_fraction of `training`. Defaults by schedule; a
// key that the schedule has no use for is a mistake.
ScheduleChoice ReadSchedule(const Fields& training, Mistakes& mistakes);

// After how many updates the rate of a cell of `steps` updates begins to fall:
//   wsd      steps - max(1, round(decay_fraction * steps))
//   cosine   warmup_steps
//   constant unset
std::optional<int64_t> DecayBegin(const ScheduleChoice& schedule, int64_t warmup_steps,
                                  int64_t steps);

}  // namespace allometry::sweep
