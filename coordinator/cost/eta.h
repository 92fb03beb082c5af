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

// Seconds until the last of the runs ends, by the simulation of makespan.h on one worker with
// `slots` slots, those that runs hold now included. A run without a measured rate gets ranks x the
// rate that `throughput` gives, to which the measured rates of `runs` are added. Zero if nothing is
// left. Unset if no rate is known, or a waiting run needs more slots than there are.
std::optional<double> EstimateEta(const std::vector<OpenRun>& runs, int slots,
                                  const Throughput& throughput = {});

}  // namespace allometry::cost
