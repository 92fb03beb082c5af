#include "coordinator/cost/eta.h"

#include <utility>

#include "coordinator/cost/makespan.h"

namespace allometry::cost {

std::optional<double> EstimateEta(const std::vector<OpenRun>& runs, int slots,
                                  const Throughput& throughput) {
  std::vector<ThroughputSample> samples = throughput.samples();
  for (const OpenRun& run : runs) samples.push_back({run.params, run.flops_per_s / run.ranks});
  const Throughput known(std::move(samples));

  std::vector<RunToPlace> to_place;
  for (const OpenRun& run : runs) {
    if (run.flops_left <= 0) continue;
    const double rate = run.flops_per_s > 0
                            ? run.flops_per_s
                            : run.ranks * known.FlopsPerSecond(run.params).value_or(0);
    if (!(rate > 0)) return std::nullopt;
    RunToPlace& one = to_place.emplace_back();
    one.ranks = run.ranks;
    one.seconds = run.flops_left / rate;
    if (run.running) one.runs_on = 0;
  }
  return Makespan(to_place, {{"", run::DeviceKind::kCpu, slots, 0}});
}

}  // namespace allometry::cost
