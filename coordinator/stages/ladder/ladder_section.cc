#include "coordinator/stages/ladder/ladder_section.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/cost/quantity.h"

namespace allometry::stages {
namespace {

// Of the tuning with another unit than FLOPs.
LadderCost CostIn(const LadderForecast& outlook, const std::map<std::string, double>& of_a_run) {
  std::vector<LadderSize> sizes = outlook.sizes;
  for (LadderSize& size : sizes) {
    const auto found = of_a_run.find(size.label);
    size.trial_flops = found == of_a_run.end() ? 0 : found->second;
  }
  return CostOfLadder(outlook.rule, sizes);
}

// Of tuning runs whose key the grid has too (the run itself, or the trunk of its branches), the
// lesser of both: the one at the chosen rate is continued, not paid twice.
template <class Cost>
double Continued(const LadderForecast& outlook, Cost cost) {
  double sum = 0;
  for (const cost::PlannedRun& trial : outlook.tuning.runs) {
    for (const cost::PlannedRun& run : outlook.grid.runs) {
      if (run.key == trial.key) sum += std::min(cost(trial), cost(run));
    }
  }
  return sum;
}

double DeviceSeconds(const cost::PlannedRun& run) { return run.seconds.value_or(0) * run.ranks; }

std::string Plural(int count, absl::string_view word) {
  return absl::StrCat(count, " ", word, count == 1 ? "" : "s");
}

std::string Time(const std::optional<double>& seconds) {
  return seconds ? absl::StrFormat(", %s of devices", cost::DurationText(*seconds)) : "";
}

}  // namespace

LadderBounds BoundsOf(const LadderForecast& outlook) {
  LadderBounds bounds;
  std::map<std::string, double> flops, seconds;
  for (const cost::PlannedRun& trial : outlook.tuning.runs) {
    flops[trial.size] = trial.flops;
    seconds[trial.size] = DeviceSeconds(trial);
  }
  bounds.runs = CostIn(outlook, flops);
  bounds.grid_flops = outlook.grid.flops;
  bounds.continued_flops =
      Continued(outlook, [](const cost::PlannedRun& run) { return run.flops; });
  if (outlook.tuning.device_seconds && outlook.grid.device_seconds) {
    const LadderCost time = CostIn(outlook, seconds);
    const double grid = *outlook.grid.device_seconds - Continued(outlook, DeviceSeconds);
    bounds.least_seconds = time.least_flops + grid;
    bounds.most_seconds = time.most_flops + grid;
  }
  return bounds;
}

cost::PlanSection LadderSection(const LadderForecast& outlook) {
  const LadderBounds bounds = BoundsOf(outlook);
  cost::PlanSection section;
  section.title = "learning-rate ladder";
  section.sentences.push_back(absl::StrFormat("%s; tuning runs: %s, first seed, constant rate",
                                              LadderRuleText(outlook.rule), outlook.tune));
  section.sentences.push_back(absl::StrFormat(
      "tuning of %s without a rate: at least %s of %s FLOPs together, when every first optimum "
      "lies between its rates and no losses tie; at most %s of %s",
      Plural(static_cast<int>(outlook.tuning.runs.size()), "size"),
      Plural(bounds.runs.least_runs, "run"), cost::FlopsText(bounds.runs.least_flops),
      Plural(bounds.runs.most_runs, "run"), cost::FlopsText(bounds.runs.most_flops)));
  section.sentences.push_back(absl::StrFormat(
      "their grid, at whatever rates are found, which change nothing of its cost: %s, %s, %s "
      "FLOPs%s",
      Plural(static_cast<int>(outlook.grid.runs.size()), "run"),
      Plural(static_cast<int>(outlook.grid.cells.size()), "cell"),
      cost::FlopsText(bounds.grid_flops),
      bounds.continued_flops > 0
          ? absl::StrFormat("; it continues the tuning runs at the chosen rates, %s of them",
                            cost::FlopsText(bounds.continued_flops))
          : "; it continues no tuning run"));
  section.sentences.push_back(absl::StrFormat(
      "tuning and grid together: at least %s FLOPs%s; at most %s FLOPs%s. The runs and times above "
      "are those that are known now; sizes are tuned one after the other",
      cost::FlopsText(bounds.least_flops()), Time(bounds.least_seconds),
      cost::FlopsText(bounds.most_flops()), Time(bounds.most_seconds)));
  return section;
}

}  // namespace allometry::stages
