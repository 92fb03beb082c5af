// What a sweep's learning-rate schedule costs, beside the other schedules. Pure; on the domain
// types alone, so on a fresh expansion as well as on a stored sweep.
//
// Of the cells of one (size, rate, seed), F FLOPs each, the largest G:
//
//   constant   G                          one run passes all of them
//   wsd        (1 - q) G + q sum F        one trunk to the last decay, a branch over the last q of
//                                         each; q is 0.2 where the sweep does not say
//   a run for each (cosine)   sum F
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "proto/types.pb.h"
#include "run/choices.h"

namespace allometry::cost {

struct ScheduleCost {
  run::Schedule schedule = run::Schedule::kConstant;
  int trunks = 0;
  int branches = 0;
  double flops = 0;           // of the whole sweep as it is, under its convention
  double flops_constant = 0;  // were it constant
  double flops_wsd = 0;       // were it wsd
  double flops_separate = 0;  // were every cell a run of its own
  int early_branches = 0;     // that start before their decay, behind their trunk
  double flops_early = 0;     // of the constant parts that these train themselves
};

// Of the grid: runs and cells of a stage are left aside.
ScheduleCost CostOfSchedule(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
                            absl::Span<const v1::Cell> cells);

// For people. Empty where there is nothing to say: a constant sweep, or one budget a size.
std::vector<std::string> ScheduleSentences(const ScheduleCost& cost);

}  // namespace allometry::cost
