#include "coordinator/sweep/ladder_expansion.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/number.h"
#include "coordinator/sweep/window.h"
#include "proto/run_choices.h"

namespace allometry::sweep {
namespace {

// The file without its ladder, every size at `rate`: its cells are those of the grid.
SweepFile AtOneRate(const SweepFile& file, double rate) {
  SweepFile plain = file;
  plain.ladder.reset();
  for (SizeChoice& size : plain.sizes) size.learning_rate = rate;
  return plain;
}

// The tuning budget; of one in updates, how many tokens those are with this dataset.
Budget TuningBudget(const SweepFile& file, const data::Manifest& manifest) {
  Budget budget = file.ladder->tune;
  if (file.ladder->tune_steps == 0) return budget;
  SweepFile resolved = file;
  Mistakes told_elsewhere(file.file_name);  // by the expansion of the grid
  ResolveWindow(manifest, resolved, told_elsewhere);
  budget.value = static_cast<double>(file.ladder->tune_steps * resolved.batch_tokens);
  budget.label = FormatNumber(budget.value);
  return budget;
}

// The file of the tuning runs of all its sizes.
SweepFile Tuning(const SweepFile& file, const data::Manifest& manifest) {
  SweepFile tuning = AtOneRate(file, file.ladder->rates.front());
  tuning.schedule = ScheduleChoice();
  tuning.seeds = {file.seeds.front()};
  tuning.budget_kind = file.ladder->tune_kind;
  tuning.budgets = {TuningBudget(file, manifest)};
  return tuning;
}

void Keep(SweepFile& file, const std::map<std::string, double>& rate_of_size) {
  std::erase_if(file.sizes,
                [&](const SizeChoice& size) { return !rate_of_size.contains(size.label); });
  for (SizeChoice& size : file.sizes) size.learning_rate = rate_of_size.at(size.label);
}

using StepsOfSize = std::map<std::string, std::vector<int64_t>>;

// Where the cells end.
StepsOfSize CellSteps(const Expansion& part) {
  StepsOfSize steps;
  for (const v1::Cell& cell : part.cells) steps[cell.size()].push_back(cell.step());
  return steps;
}

// Where branches leave the trunks of the grid.
StepsOfSize BranchingSteps(const Expansion& grid) {
  StepsOfSize steps;
  for (const v1::Run& run : grid.runs) {
    const auto& of_run = run.spec().checkpoint_steps();
    steps[run.size()].insert(steps[run.size()].end(), of_run.begin(), of_run.end());
  }
  return steps;
}

using Steps = google::protobuf::RepeatedField<int64_t>;

// Those of `more` up to `last` join `steps`, ascending.
void AddSteps(absl::Span<const int64_t> more, int64_t last, Steps& steps) {
  std::vector<int64_t> all(steps.begin(), steps.end());
  std::copy_if(more.begin(), more.end(), std::back_inserter(all),
               [&](int64_t step) { return step <= last; });
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  steps.Assign(all.begin(), all.end());
}

// Gathers runs, joining those of one key.
class Merging {
 public:
  Merging(v1::Sweep sweep, ScheduleChoice schedule) {
    merged_.sweep = std::move(sweep);
    merged_.schedule = std::move(schedule);
  }

  void Add(const Expansion& part, const std::string& stage) {
    std::map<int64_t, int64_t> id_of_run;
    for (const v1::Run& run : part.runs) id_of_run[run.run_id()] = AddRun(run, stage);
    for (v1::Cell cell : part.cells) {
      cell.set_run_id(id_of_run.at(cell.run_id()));
      if (!stage.empty()) cell.set_stage(stage);
      merged_.cells.push_back(std::move(cell));
    }
  }

  v1::Run& LastRun() { return merged_.runs.back(); }

  Expansion Finish() {
    std::stable_sort(merged_.cells.begin(), merged_.cells.end(),
                     [](const v1::Cell& a, const v1::Cell& b) {
                       return std::pair(a.run_id(), a.tokens()) < std::pair(b.run_id(), b.tokens());
                     });
    int64_t id = 0;
    for (v1::Cell& cell : merged_.cells) cell.set_cell_id(++id);
    merged_.sweep.set_runs(static_cast<int>(merged_.runs.size()));
    merged_.sweep.set_cells(static_cast<int>(merged_.cells.size()));
    return std::move(merged_);
  }

 private:
  int64_t AddRun(v1::Run run, const std::string& stage) {
    const auto [known, is_new] = place_.emplace(run.key(), merged_.runs.size());
    if (is_new) {
      if (!stage.empty() && run.stage().empty()) run.set_stage(stage);
      run.set_run_id(static_cast<int64_t>(merged_.runs.size()) + 1);
      merged_.runs.push_back(std::move(run));
      return merged_.runs.back().run_id();
    }
    v1::Run& old = merged_.runs[known->second];
    const v1::RunSpec& more = run.spec();
    v1::RunSpec& spec = *old.mutable_spec();
    spec.set_steps(std::max(spec.steps(), more.steps()));
    AddSteps(more.evaluation_steps(), spec.steps(), *spec.mutable_evaluation_steps());
    AddSteps(more.checkpoint_steps(), spec.steps(), *spec.mutable_checkpoint_steps());
    if (stage.empty() && StageOf(old) == run::Stage::kLadder) old.clear_stage();
    return old.run_id();
  }

  Expansion merged_;
  std::map<std::string, size_t> place_;  // by key
};

absl::Status CheckTuning(const SweepFile& file, const Expansion& grid, const Expansion& tuning) {
  Mistakes mistakes(file.file_name);
  const StepsOfSize tuned = CellSteps(tuning);
  for (const auto& [label, steps] : CellSteps(grid)) {
    if (tuned.contains(label)) continue;
    for (const std::string& reason : tuning.sweep.left_out()) {
      if (!absl::StartsWith(reason, absl::StrCat(label, " at "))) continue;
      mistakes.Add(file.ladder->tune.line, absl::StrCat("tune: ", reason));
    }
  }
  return mistakes.ToStatus();
}

struct Parts {
  Expansion grid;    // as if every size had its rate
  Expansion tuning;  // one run a size
};

absl::StatusOr<Parts> ExpandParts(const SweepFile& file, const data::Manifest& manifest) {
  Parts parts;
  ALLO_ASSIGN_OR_RETURN(parts.grid, Expand(AtOneRate(file, file.ladder->rates.front()), manifest));
  ALLO_ASSIGN_OR_RETURN(parts.tuning, Expand(Tuning(file, manifest), manifest));
  ALLO_RETURN_IF_ERROR(CheckTuning(file, parts.grid, parts.tuning));
  return parts;
}

std::vector<LadderStep> LadderStepsOf(const Parts& parts) {
  const StepsOfSize in_grid = CellSteps(parts.grid);
  std::vector<LadderStep> steps;
  for (v1::Cell cell : parts.tuning.cells) {
    if (!in_grid.contains(cell.size())) continue;
    cell.clear_run_id();
    cell.clear_cell_id();
    cell.set_stage(run::NameOf(run::Stage::kLadder));
    steps.push_back({cell.size(), cell.params(), cell});
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const LadderStep& a, const LadderStep& b) { return a.params < b.params; });
  return steps;
}

// Tuning runs by size in the order of the ladder, then by rate.
absl::Status AddTuningRuns(const SweepFile& file, const data::Manifest& manifest,
                           const Parts& parts, const LadderRates& rates, Merging& merging) {
  const StepsOfSize grid_steps = CellSteps(parts.grid);
  const StepsOfSize branching = BranchingSteps(parts.grid);
  for (const LadderStep& step : LadderStepsOf(parts)) {
    const auto tried = rates.trials.find(step.label);
    if (tried == rates.trials.end()) continue;
    for (const double rate : tried->second) {
      SweepFile one = Tuning(file, manifest);
      Keep(one, {{step.label, rate}});
      ALLO_ASSIGN_OR_RETURN(const Expansion run, Expand(one, manifest));
      merging.Add(run, run::NameOf(run::Stage::kLadder));
      v1::RunSpec& spec = *merging.LastRun().mutable_spec();
      if (file.schedule.kind == run::Schedule::kConstant) {
        AddSteps(grid_steps.at(step.label), spec.steps(), *spec.mutable_evaluation_steps());
      }
      AddSteps(branching.at(step.label), spec.steps(), *spec.mutable_checkpoint_steps());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<LadderStep>> LadderSteps(const SweepFile& file,
                                                    const data::Manifest& manifest) {
  ALLO_ASSIGN_OR_RETURN(const Parts parts, ExpandParts(file, manifest));
  return LadderStepsOf(parts);
}

absl::StatusOr<Expansion> ExpandLadder(const SweepFile& file, const data::Manifest& manifest,
                                       const LadderRates& rates) {
  ALLO_ASSIGN_OR_RETURN(Parts parts, ExpandParts(file, manifest));
  LadderRates wanted = rates;
  if (wanted.trials.empty() && wanted.chosen.empty()) {
    wanted.trials[LadderStepsOf(parts).front().label] = file.ladder->rates;
  }
  Merging merging(parts.grid.sweep, file.schedule);
  ALLO_RETURN_IF_ERROR(AddTuningRuns(file, manifest, parts, wanted, merging));
  // A size that was chosen for may have lost its cells since, as by a smaller max_epochs.
  const StepsOfSize in_grid = CellSteps(parts.grid);
  std::erase_if(wanted.chosen, [&](const auto& one) { return !in_grid.contains(one.first); });
  SweepFile chosen = AtOneRate(file, 0);
  Keep(chosen, wanted.chosen);
  if (!chosen.sizes.empty()) {
    ALLO_ASSIGN_OR_RETURN(const Expansion grid, Expand(chosen, manifest));
    merging.Add(grid, "");
  }
  return merging.Finish();
}

}  // namespace allometry::sweep
