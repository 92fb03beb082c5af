#include "coordinator/stages/stopping/stopping_section.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_format.h"
#include "coordinator/cost/quantity.h"

namespace allometry::stages {
namespace {

using OneRun = std::vector<const v1::Cell*>;  // ascending

// A size may stop when it has a loss at two budgets, and has those up to the rule's second one.
double LeastTrained(const StoppingRule& rule, const OneRun& cells) {
  double least = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i < 2 || cells[i]->asked_flops() <= rule.budgets[1]) least = cells[i]->flops();
  }
  return least;
}

}  // namespace

MostSaved LargestSaving(const StoppingRule& rule, absl::Span<const v1::Cell> cells) {
  std::map<int64_t, std::map<int64_t, OneRun>> sizes;  // by params, then run
  for (const v1::Cell& cell : cells) sizes[cell.params()][cell.run_id()].push_back(&cell);
  MostSaved most;
  size_t larger = sizes.size();
  for (auto& [params, runs] : sizes) {
    --larger;
    most.sizes += CanStop(larger);
    for (auto& [run_id, of_run] : runs) {
      std::sort(of_run.begin(), of_run.end(),
                [](const v1::Cell* a, const v1::Cell* b) { return a->flops() < b->flops(); });
      most.flops += of_run.back()->flops();
      if (CanStop(larger)) most.saved += of_run.back()->flops() - LeastTrained(rule, of_run);
    }
  }
  return most;
}

cost::PlanSection StoppingSection(const StoppingRule& rule, absl::Span<const v1::Cell> cells) {
  const MostSaved most = LargestSaving(rule, cells);
  cost::PlanSection section;
  section.title = "stopping early";
  section.sentences.push_back(StoppingRuleText(rule));
  section.sentences.push_back(
      most.saved > 0
          ? absl::StrFormat(
                "saves at most %s of the grid's %s FLOPs (%.0f %%), when each of the %d sizes that "
                "can stop does so as soon as it can; how many do follows from the losses. A new "
                "sweep "
                "is planned with its whole grid, one that is there with what it was granted",
                cost::FlopsText(most.saved), cost::FlopsText(most.flops),
                100 * most.saved / most.flops, most.sizes)
          : "no size of this grid can stop: that takes three larger sizes and a third budget");
  section.sentences.push_back(
      "a size gets its third and further budgets when every size that has a cell at the two before "
      "has its loss there; the three largest have all of theirs at once");
  return section;
}

}  // namespace allometry::stages
