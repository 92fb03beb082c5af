// When a sweep will end, at the pace measured so far. Pure: `allo watch` calls it every time it
// has new numbers.
#pragma once

#include <optional>
#include <vector>

#include "coordinator/cost/throughput.h"

namespace allometry::cost {

struct OpenRun {
  double params = 0;
  double flops_left = 0;
  int ranks = 1;
  bool running = false;    // holds `ranks` slots now
  double flops_per_s = 0;  // of the whole run, measured on its attempt; 0: not measured
};

// Seconds until the last of the runs ends: those that run go on, the others follow in the order of
// makespan.h as slots come free, as if all slots were one worker's. A run without a rate of its own
// goes at ranks x the rate that `throughput` gives; measured runs of `runs` are added to it.
// `slots` counts those that runs hold now. Zero when nothing is left; unset when no rate is known
// or a waiting run needs more slots than there are.
std::optional<double> EstimateEta(const std::vector<OpenRun>& runs, int slots,
                                  const Throughput& throughput = {});

}  // namespace allometry::cost
