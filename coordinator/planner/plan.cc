#include "coordinator/planner/plan.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_format.h"
#include "coordinator/planner/eta.h"
#include "coordinator/planner/memory.h"

namespace allometry::planner {
namespace {

PlannedRun PlanRun(const v1::Sweep& sweep, const v1::Run& run, const Throughput& throughput) {
  const v1::RunIdentity& identity = run.spec().identity();
  PlannedRun planned;
  planned.run_id = run.run_id();
  planned.key = run.key();
  planned.size = run.size();
  planned.layers = identity.shape().layers();
  planned.heads = identity.shape().heads();
  planned.width = identity.shape().width();
  planned.params = run.n_params();
  planned.learning_rate = identity.learning_rate();
  planned.seed = identity.seed();
  planned.ranks = run.spec().ranks();
  planned.steps = run.spec().steps();
  planned.tokens = planned.steps * identity.batch_tokens();
  planned.flops =
      static_cast<double>(planned.tokens) * FlopsPerToken(run, sweep.flops_convention());
  planned.memory_bytes = RankMemoryBytes(run);
  if (const auto rate = throughput.FlopsPerSecond(static_cast<double>(planned.params))) {
    planned.seconds = planned.flops / (*rate * planned.ranks);
  }
  return planned;
}

}  // namespace

SweepPlan Plan(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
               absl::Span<const v1::Cell> cells, const PlanOptions& options) {
  SweepPlan plan;
  plan.name = sweep.name();
  plan.dataset = sweep.dataset();
  plan.params_policy = sweep.params_policy();
  plan.flops_convention = sweep.flops_convention();
  plan.left_out.assign(sweep.left_out().begin(), sweep.left_out().end());
  plan.cells.assign(cells.begin(), cells.end());

  std::map<int64_t, size_t> place;
  for (const v1::Run& run : runs) {
    place[run.run_id()] = plan.runs.size();
    plan.runs.push_back(PlanRun(sweep, run, options.throughput));
  }
  for (const v1::Cell& cell : cells) {
    const auto run = place.find(cell.run_id());
    if (run == place.end()) continue;
    PlannedRun& planned = plan.runs[run->second];
    ++planned.cells;
    planned.flops_unshared += cell.flops();
    planned.epochs = std::max(planned.epochs, cell.epochs());
  }

  std::vector<OpenRun> open;
  double device_seconds = 0;
  for (const PlannedRun& run : plan.runs) {
    plan.flops += run.flops;
    plan.flops_saved += std::max(0.0, run.flops_unshared - run.flops);
    device_seconds += run.seconds.value_or(0) * run.ranks;
    if (options.slots > 0 && run.ranks > options.slots) {
      plan.impossible.push_back(absl::StrFormat("%s seed %d needs %d devices at once, there are %d",
                                                run.size, run.seed, run.ranks, options.slots));
    }
    open.push_back({static_cast<double>(run.params), run.flops, run.ranks});
  }
  if (options.throughput.known()) {
    plan.device_seconds = device_seconds;
    if (options.slots > 0) {
      plan.makespan_seconds = EstimateEta(open, options.slots, options.throughput);
    }
  }
  return plan;
}

}  // namespace allometry::planner
