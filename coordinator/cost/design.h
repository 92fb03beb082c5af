// The observations that a sweep will give, before it is trained, and the interval widths to expect.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "coordinator/cost/plan.h"
#include "fitting/design/pilot.h"
#include "proto/types.pb.h"

namespace allometry::cost {

// N and D of every evaluation that will be an observation (run/observation.h). Losses are not set.
// FAILED runs are left out, because they train no more.
std::vector<fitting::Observation> DesignOf(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
                                           absl::Span<const v1::Cell> cells);

struct ExpectedPrecision {
  fitting::Pilot pilot;
  double flops = 0;  // of L*
  fitting::ExpectedWidths widths;
};
// Widths of a, alpha, beta, E and L*(flops) by the default fit; flops 0: ten times the largest
// cell's.
ExpectedPrecision ExpectPrecision(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
                                  absl::Span<const v1::Cell> cells, const fitting::Pilot& pilot,
                                  double flops);
PlanSection PrecisionSection(const ExpectedPrecision& buy);

}  // namespace allometry::cost
