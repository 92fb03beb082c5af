// The runs that a sweep file's learning-rate ladder has still to come, for plans. Which rates the
// ladder will try depends on losses that a plan does not know.
#pragma once

#include <optional>

#include "absl/types/span.h"
#include "base/status.h"
#include "cli/sweep_input.h"
#include "coordinator/stages/ladder/ladder_section.h"
#include "coordinator/sweep/expansion.h"

namespace allometry::cli {

struct LadderPlan {
  stages::LadderForecast outlook;  // its plans are not made yet
  sweep::Expansion tuning;         // a tuning run of each size without a rate, at the first rate
  sweep::Expansion grid;           // their grid, at the same rate; with run ids that no run has
};

// `cells` are those that there are: a size has its rate when it has one of the grid. nullopt: no
// ladder, or every size has its rate.
absl::StatusOr<std::optional<LadderPlan>> ReadLadderPlan(const SweepInput& input,
                                                         absl::Span<const v1::Cell> cells);

}  // namespace allometry::cli
