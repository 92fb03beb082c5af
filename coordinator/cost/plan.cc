#include "coordinator/cost/plan.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_format.h"
#include "coordinator/cost/memory.h"
#include "coordinator/cost/quantity.h"
#include "proto/run_choices.h"

namespace allometry::cost {
namespace {

// FLOP/s of generating a token at a time, as a part of training's: products of few rows.
constexpr double kDecodeRate = 1.0 / 3;

// From a pace of updates alone. Evaluations are a forward pass; starts and checkpoints are not
// known and count as nothing.
std::optional<RunCost> CostFromPace(const v1::Run& run, run::FlopsConvention convention,
                                    const Throughput& throughput) {
  const auto rate = throughput.FlopsPerSecond(static_cast<double>(run.n_params()));
  if (!rate.has_value()) return std::nullopt;
  const v1::RunSpec& spec = run.spec();
  const double token_s = FlopsPerToken(run, convention) / (*rate * std::max(1, spec.ranks()));
  RunCost cost;
  cost.source = "pace";
  if (EvaluatedOf(spec) != nullptr) {
    cost.update_s = token_s / kDecodeRate * static_cast<double>(spec.identity().batch_tokens());
    return cost;
  }
  cost.update_s = token_s * static_cast<double>(spec.identity().batch_tokens());
  cost.evaluation_s = token_s * kForwardShare * static_cast<double>(spec.evaluation_windows()) *
                      spec.identity().shape().context();
  return cost;
}

std::optional<RunCost> CostOf(const v1::Run& run, run::FlopsConvention convention,
                              const PlanOptions& options) {
  if (const auto found = options.costs.find(run.key()); found != options.costs.end()) {
    return found->second;
  }
  // A run that evaluates is not measured: the run that it evaluates says how fast its shape is.
  const v1::RunInput* const evaluated = EvaluatedOf(run.spec());
  const auto trained =
      evaluated == nullptr ? options.costs.end() : options.costs.find(evaluated->run_key());
  if (trained != options.costs.end()) {
    RunCost cost;
    cost.start_s = trained->second.start_s;
    cost.update_s = trained->second.update_s * EvaluatedShare(run.spec()) / kDecodeRate;
    cost.source = trained->second.source;
    return cost;
  }
  return CostFromPace(run, convention, options.throughput);
}

PlannedRun PlanRun(const v1::Sweep& sweep, const v1::Run& run, const PlanOptions& options) {
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
  planned.ranks = std::max(1, run.spec().ranks());
  planned.device = DeviceOf(run.spec());
  planned.steps = run.spec().steps();
  const PlannedWork work = WorkOf(run);
  planned.from = planned.steps - work.updates;
  planned.new_work = work.updates > 0;
  planned.tokens = work.updates * identity.batch_tokens();
  planned.flops = static_cast<double>(planned.tokens) * FlopsPerToken(run, ConventionOf(sweep));
  planned.memory_bytes = RankMemoryBytes(run);
  const std::optional<RunCost> cost = CostOf(run, ConventionOf(sweep), options);
  if (!cost.has_value()) return planned;
  planned.seconds = SecondsOf(*cost, work, run.spec().checkpoint_every_s());
  planned.time_source = cost->source;
  if (cost->memory_bytes > 0) {
    planned.memory_bytes = cost->memory_bytes;
    planned.memory_measured = true;
  }
  return planned;
}

// Why no worker can ever run it; empty: one can.
std::string NeverStarts(const PlannedRun& run, const std::vector<WorkerSlots>& workers) {
  int most = 0;
  double most_memory = 0;
  bool fits = false;
  for (const WorkerSlots& worker : workers) {
    if (worker.kind != run.device) continue;
    most = std::max(most, worker.slots);
    most_memory = std::max(most_memory, worker.memory_bytes);
    fits |= worker.slots >= run.ranks &&
            (worker.memory_bytes <= 0 || worker.memory_bytes >= run.memory_bytes);
  }
  if (fits) return "";
  const std::string who = absl::StrFormat("%s seed %d", run.size, run.seed);
  if (most == 0) {
    return absl::StrFormat("%s needs a device of kind %s, and no worker has one", who,
                           run.device ? run::NameOf(*run.device) : "unknown");
  }
  if (most < run.ranks) {
    return absl::StrFormat("%s needs %d devices at once, and no worker has more than %d", who,
                           run.ranks, most);
  }
  return absl::StrFormat("%s needs %s%s a rank, and no device that it could have has more than %s",
                         who, run.memory_measured ? "" : "about ", BytesText(run.memory_bytes),
                         BytesText(most_memory));
}

// Seconds from the trunk's start until its checkpoint at `step` is written.
double UntilCheckpoint(const v1::Run& trunk, int64_t step, const RunCost& cost) {
  v1::Run part = trunk;
  part.mutable_spec()->set_steps(step);
  auto& evaluations = *part.mutable_spec()->mutable_evaluation_steps();
  evaluations.erase(std::remove_if(evaluations.begin(), evaluations.end(),
                                   [step](int64_t at) { return at > step; }),
                    evaluations.end());
  auto& kept = *part.mutable_spec()->mutable_checkpoint_steps();
  kept.erase(std::remove_if(kept.begin(), kept.end(), [step](int64_t at) { return at > step; }),
             kept.end());
  return SecondsOf(cost, WorkOf(part), trunk.spec().checkpoint_every_s());
}

std::optional<double> PlayOnWorkers(const SweepPlan& plan, absl::Span<const v1::Run> runs,
                                    const PlanOptions& options) {
  std::map<std::string, int> place;  // of the runs that train, by key
  std::vector<const v1::Run*> training;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!plan.runs[i].new_work) continue;
    place[runs[i].key()] = static_cast<int>(training.size());
    training.push_back(&runs[i]);
  }
  std::vector<RunToPlace> to_place;
  for (size_t i = 0; i < runs.size(); ++i) {
    const PlannedRun& planned = plan.runs[i];
    if (!planned.new_work) continue;
    RunToPlace& run = to_place.emplace_back();
    run.ranks = planned.ranks;
    run.kind = *planned.device;  // a worker has it
    run.seconds = *planned.seconds;
    run.memory_bytes = planned.memory_bytes;
    run.ahead = StageOf(runs[i]) == run::Stage::kLadder;
    for (const v1::RunInput& input : runs[i].spec().inputs()) {
      // What trains no more has its checkpoint already. A branch comes after its trunk, and so
      // after its trunk's tokenizer; so does an evaluation.
      if (!place.contains(input.run_key()) ||
          (run.after >= 0 && KindOf(input) == run::InputKind::kTokenizer))
        continue;
      run.after = place[input.run_key()];
      const v1::Run& before = *training[run.after];
      const int64_t step =
          KindOf(input) == run::InputKind::kTrunk ? input.step() : before.spec().steps();
      run.after_seconds =
          UntilCheckpoint(before, step, *CostOf(before, plan.flops_convention, options));
    }
  }
  return Makespan(to_place, options.workers);
}

}  // namespace

SweepPlan Plan(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
               absl::Span<const v1::Cell> cells, const PlanOptions& options) {
  SweepPlan plan;
  plan.name = sweep.name();
  plan.dataset = sweep.dataset();
  plan.params_policy = sweep.params_policy();
  plan.flops_convention = ConventionOf(sweep);
  plan.left_out.assign(sweep.left_out().begin(), sweep.left_out().end());
  plan.cells.assign(cells.begin(), cells.end());

  std::map<int64_t, size_t> place;
  double unshared = 0;
  for (const v1::Run& run : runs) {
    place[run.run_id()] = plan.runs.size();
    plan.runs.push_back(PlanRun(sweep, run, options));
    plan.flops_whole += static_cast<double>((run.spec().steps() - FirstStep(run)) *
                                            run.spec().identity().batch_tokens()) *
                        FlopsPerToken(run, ConventionOf(sweep));
  }
  for (const v1::Cell& cell : cells) {
    unshared += cell.flops();
    const auto run = place.find(cell.run_id());
    if (run == place.end()) continue;
    PlannedRun& planned = plan.runs[run->second];
    ++planned.cells;
    planned.epochs = std::max(planned.epochs, cell.epochs());
  }
  plan.flops_saved = std::max(0.0, unshared - plan.flops_whole);

  bool all_timed = !plan.runs.empty();
  double device_seconds = 0;
  for (const WorkerSlots& worker : options.workers) plan.slots += worker.slots;
  for (const PlannedRun& run : plan.runs) {
    if (!run.new_work) {
      ++plan.done_runs;
      continue;
    }
    plan.tokens += run.tokens;
    plan.flops += run.flops;
    all_timed &= run.seconds.has_value();
    device_seconds += run.seconds.value_or(0) * run.ranks;
    if (options.workers.empty()) continue;
    if (std::string why = NeverStarts(run, options.workers); !why.empty()) {
      plan.impossible.push_back(std::move(why));
    }
  }
  if (all_timed) {
    plan.device_seconds = device_seconds;
    if (!options.workers.empty() && plan.impossible.empty()) {
      plan.makespan_seconds = PlayOnWorkers(plan, runs, options);
    }
  }
  PlanSection shapes = ShapesSection(plan);
  if (!shapes.sentences.empty()) plan.sections.push_back(std::move(shapes));
  return plan;
}

}  // namespace allometry::cost
