#include <algorithm>

#include "absl/strings/str_format.h"
#include "coordinator/cost/plan.h"

namespace allometry::cost {
namespace {

constexpr double kHour = 3600;

std::string WholeSweep(const v1::Sweep& sweep, const SweepPlan& plan) {
  const double used = sweep.device_seconds() / kHour;
  std::string text =
      absl::StrFormat("max_device_hours %.4g: %.3g used", sweep.max_device_hours(), used);
  if (!plan.device_seconds.has_value()) {
    return text + "; whether the rest is enough is not known without times";
  }
  const double needed = *plan.device_seconds / kHour;
  const double left = std::max(0.0, sweep.max_device_hours() - used);
  absl::StrAppendFormat(&text, ", %.3g needed by this plan: ", needed);
  if (needed <= left) return text + "enough";
  return absl::StrFormat(
      "%sNOT ENOUGH by %.3g; when it is used up, runs write a checkpoint and wait until the limit "
      "is raised",
      text, needed - left);
}

}  // namespace

PlanSection LimitsSection(const v1::Sweep& sweep, const SweepPlan& plan,
                          absl::Span<const v1::Run> runs) {
  PlanSection section;
  section.title = "limits";
  if (sweep.max_device_hours() > 0) section.sentences.push_back(WholeSweep(sweep, plan));
  const double of_a_run = sweep.max_run_hours();
  if (of_a_run <= 0) return section;
  int within = 0, unknown = 0;
  for (size_t i = 0; i < plan.runs.size(); ++i) {
    const PlannedRun& run = plan.runs[i];
    if (!run.new_work) continue;
    const double hours = (runs[i].device_seconds() + run.seconds.value_or(0) * run.ranks) / kHour;
    if (!run.seconds.has_value()) {
      ++unknown;
    } else if (hours <= of_a_run) {
      ++within;
    } else {
      section.sentences.push_back(absl::StrFormat(
          "max_run_hours %.4g: NOT ENOUGH for %s seed %d, which needs %.3g; it will end as LIMIT, "
          "with its curve and a checkpoint",
          of_a_run, run.size, run.seed, hours));
    }
  }
  if (within > 0) {
    section.sentences.push_back(
        absl::StrFormat("max_run_hours %.4g: enough for %d runs", of_a_run, within));
  }
  if (unknown > 0) {
    section.sentences.push_back(absl::StrFormat(
        "max_run_hours %.4g: not known for %d runs without times", of_a_run, unknown));
  }
  return section;
}

}  // namespace allometry::cost
