// What `allo plan` says of frontier-aware stopping: at most how many FLOPs it saves, because a plan
// does not know the losses, by which sizes stop.
#pragma once

#include "absl/types/span.h"
#include "coordinator/cost/plan.h"
#include "coordinator/stages/stopping/stopping.h"
#include "proto/types.pb.h"

namespace allometry::stages {

struct MostSaved {
  double flops = 0;  // of the whole grid
  double saved = 0;  // at most: every size that can stop does so as soon as it can
  int sizes = 0;     // that can
};

// `cells` are the file's whole grid under a constant schedule: the largest cell of a run is its
// cost.
MostSaved LargestSaving(const StoppingRule& rule, absl::Span<const v1::Cell> cells);
cost::PlanSection StoppingSection(const StoppingRule& rule, absl::Span<const v1::Cell> cells);

}  // namespace allometry::stages
