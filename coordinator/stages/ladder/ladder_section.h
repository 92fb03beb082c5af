// What a learning-rate ladder and its grid cost, as bounds: which rates are tried depends on losses
// that a plan does not know.
#pragma once

#include <string>

#include "absl/types/span.h"
#include "coordinator/cost/plan.h"
#include "coordinator/stages/ladder/ladder.h"

namespace allometry::stages {

// What is still to come of a ladder. The cost of a run does not depend on its learning rate, so
// these runs are planned at any rate.
struct LadderForecast {
  LadderRule rule;
  std::string tune;               // "2M tokens"
  std::vector<LadderSize> sizes;  // all of the sweep, by ascending params; `decided` where it is
  cost::SweepPlan tuning;         // a tuning run of each size without a rate, from step 0
  cost::SweepPlan grid;           // of the sizes without a rate
};

// From to where, of the sizes without a rate. Seconds are of devices; unset: not known.
struct LadderBounds {
  LadderCost runs;  // of the tuning: how many, and FLOPs
  double grid_flops = 0;
  double continued_flops = 0;  // of tuning runs that the grid goes on from: paid once
  std::optional<double> least_seconds, most_seconds;  // of tuning and grid

  double least_flops() const { return runs.least_flops + grid_flops - continued_flops; }
  double most_flops() const { return runs.most_flops + grid_flops - continued_flops; }
};

LadderBounds BoundsOf(const LadderForecast& outlook);
cost::PlanSection LadderSection(const LadderForecast& outlook);

}  // namespace allometry::stages
