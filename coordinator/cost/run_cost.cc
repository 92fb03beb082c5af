#include "coordinator/cost/run_cost.h"

#include <algorithm>
#include <cmath>

#include "coordinator/cost/throughput.h"

namespace allometry::cost {

int64_t NextStep(const v1::Run& run) {
  const int64_t first = FirstStep(run);
  switch (run.state()) {
    case v1::RUN_FAILED:
    case v1::RUN_CANCELLED:
      return run.spec().steps();
    case v1::LEASED:
      return run.step();  // a branch may have had to begin before its trunk's checkpoint
    case v1::RUN_SUCCEEDED:
      return std::max(first, run.step());
    default:
      return std::max(first, run.checkpoint().step());
  }
}

PlannedWork WorkOf(const v1::Run& run) {
  const v1::RunSpec& spec = run.spec();
  const int64_t next = NextStep(run);
  PlannedWork work;
  work.updates = std::max<int64_t>(0, spec.steps() - next);
  if (work.updates == 0) return work;
  const auto later = [next](const auto& steps) {
    return std::count_if(steps.begin(), steps.end(), [next](int64_t step) { return step > next; });
  };
  work.evaluations = later(spec.evaluation_steps());
  work.kept_checkpoints = later(spec.checkpoint_steps());
  const auto& kept = spec.checkpoint_steps();
  if (std::find(kept.begin(), kept.end(), spec.steps()) == kept.end()) ++work.kept_checkpoints;
  return work;
}

double SecondsOf(const RunCost& cost, const PlannedWork& work, double checkpoint_every_s) {
  if (work.updates == 0) return 0;
  const double training = static_cast<double>(work.updates) * cost.update_s +
                          static_cast<double>(work.evaluations) * cost.evaluation_s;
  const double timed =
      checkpoint_every_s > 0 ? std::floor(training / (checkpoint_every_s + cost.checkpoint_s)) : 0;
  return kHandOverS + cost.start_s + training +
         (timed + static_cast<double>(work.kept_checkpoints)) * cost.checkpoint_s;
}

}  // namespace allometry::cost
