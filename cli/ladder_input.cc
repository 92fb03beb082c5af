#include "cli/ladder_input.h"

#include <set>
#include <string>
#include <utility>

#include "coordinator/sweep/ladder_expansion.h"
#include "coordinator/sweep/ladder_file.h"
#include "coordinator/sweep/tokenizer_run.h"
#include "proto/run_choices.h"

namespace allometry::cli {
namespace {

constexpr int64_t kFirstId = int64_t{1} << 40;

}  // namespace

absl::StatusOr<std::optional<LadderPlan>> ReadLadderPlan(const SweepInput& input,
                                                         absl::Span<const v1::Cell> cells) {
  if (!input.file.ladder) return std::nullopt;
  std::set<std::string> with_grid;
  for (const v1::Cell& cell : cells) {
    if (cell.stage().empty()) with_grid.insert(cell.size());
  }
  ALLO_ASSIGN_OR_RETURN(const std::vector<sweep::LadderStep> steps,
                        sweep::LadderSteps(input.file, input.manifest));
  LadderPlan ahead;
  ahead.outlook.rule = *input.file.ladder;
  ahead.outlook.tune = sweep::TuningBudgetText(*input.file.ladder);
  const double rate = input.file.ladder->rates.front();
  sweep::LadderRates tuning, chosen;
  for (const sweep::LadderStep& step : steps) {
    stages::LadderSize& size = ahead.outlook.sizes.emplace_back();
    size.label = step.label;
    size.trial_flops = step.trial.flops();
    if (with_grid.contains(step.label)) {
      size.decided = rate;  // some rate: only that there is one counts
      continue;
    }
    tuning.trials[step.label] = {rate};
    chosen.chosen[step.label] = rate;
  }
  if (chosen.chosen.empty()) return std::nullopt;
  ALLO_ASSIGN_OR_RETURN(ahead.tuning, sweep::ExpandLadder(input.file, input.manifest, tuning));
  ALLO_ASSIGN_OR_RETURN(ahead.grid, sweep::ExpandLadder(input.file, input.manifest, chosen));
  // A tokenizer is of neither: it is known already, with the sweep's other runs.
  for (sweep::Expansion* part : {&ahead.tuning, &ahead.grid}) {
    std::erase_if(part->runs,
                  [](const v1::Run& run) { return StageOf(run) == run::Stage::kTokenizer; });
  }
  // Beside those that there are.
  for (v1::Run& run : ahead.grid.runs) run.set_run_id(kFirstId + run.run_id());
  for (v1::Cell& cell : ahead.grid.cells) cell.set_run_id(kFirstId + cell.run_id());
  return ahead;
}

}  // namespace allometry::cli
