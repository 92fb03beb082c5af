#include "coordinator/cost/schedule_cost.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/strings/str_format.h"
#include "coordinator/cost/quantity.h"
#include "coordinator/cost/throughput.h"
#include "proto/run_choices.h"

namespace allometry::cost {
namespace {

constexpr double kDecayFraction = 0.2;  // of the sweep file's default

// The cells that a constant rate would train as one run.
using Curve = std::tuple<std::string, double, int64_t>;

std::string Counted(int count, absl::string_view one, absl::string_view many) {
  return absl::StrFormat("%d %s", count, count == 1 ? one : many);
}

double FlopsOfSteps(const v1::Run& run, int64_t steps, run::FlopsConvention convention) {
  return static_cast<double>(steps) * static_cast<double>(run.spec().identity().batch_tokens()) *
         FlopsPerToken(run, convention);
}

std::string Percent(double part, double whole) {
  return absl::StrFormat("%.0f %%", 100 * part / whole);
}

}  // namespace

ScheduleCost CostOfSchedule(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
                            absl::Span<const v1::Cell> cells) {
  ScheduleCost cost;
  double decay_fraction = kDecayFraction;
  std::map<int64_t, const v1::Run*> by_id;
  for (const v1::Run& run : runs) {
    by_id[run.run_id()] = &run;
    const bool is_trunk = IsTrunk(run.spec());
    if (!run.stage().empty() && !is_trunk) continue;  // of a stage, not of the grid
    const v1::RunIdentity& identity = run.spec().identity();
    const int64_t first = FirstStep(run);
    cost.flops += FlopsOfSteps(run, run.spec().steps() - first, ConventionOf(sweep));
    if (ScheduleOf(identity) == run::Schedule::kConstant) {
      cost.trunks += is_trunk;
      continue;
    }
    cost.schedule = ScheduleOf(identity).value_or(run::Schedule::kConstant);
    if (cost.schedule != run::Schedule::kWsd) continue;
    ++cost.branches;
    decay_fraction = static_cast<double>(identity.decay_end() - identity.decay_begin()) /
                     static_cast<double>(identity.decay_end());
    if (first == identity.decay_begin()) continue;
    ++cost.early_branches;
    cost.flops_early += FlopsOfSteps(run, identity.decay_begin() - first, ConventionOf(sweep));
  }
  std::map<Curve, std::pair<double, double>> curves;  // largest and sum of the cells' FLOPs
  for (const v1::Cell& cell : cells) {
    const auto run = by_id.find(cell.run_id());
    if (run == by_id.end() || !cell.stage().empty()) continue;
    const v1::RunIdentity& identity = run->second->spec().identity();
    auto& [largest, sum] = curves[{cell.size(), identity.learning_rate(), identity.seed()}];
    largest = std::max(largest, cell.flops());
    sum += cell.flops();
  }
  for (const auto& [curve, flops] : curves) {
    const auto& [largest, sum] = flops;
    cost.flops_constant += largest;
    cost.flops_wsd += (1 - decay_fraction) * largest + decay_fraction * sum;
    cost.flops_separate += sum;
  }
  return cost;
}

std::vector<std::string> ScheduleSentences(const ScheduleCost& cost) {
  std::vector<std::string> sentences;
  if (cost.schedule == run::Schedule::kConstant || cost.flops_separate <= 0) return sentences;
  if (cost.schedule == run::Schedule::kWsd) {
    sentences.push_back(absl::StrFormat(
        "%s and %s: %s FLOPs, where a run for each cell, as under cosine, would take %s (%s saved) "
        "and a constant rate %s",
        Counted(cost.trunks, "trunk", "trunks"), Counted(cost.branches, "branch", "branches"),
        FlopsText(cost.flops), FlopsText(cost.flops_separate),
        Percent(std::max(0.0, cost.flops_separate - cost.flops), cost.flops_separate),
        FlopsText(cost.flops_constant)));
  } else if (cost.flops_separate > cost.flops_constant) {
    sentences.push_back(absl::StrFormat(
        "%s runs share nothing: %s FLOPs, where wsd would take about %s and a constant rate %s (%s "
        "and %s less)",
        run::NameOf(cost.schedule), FlopsText(cost.flops), FlopsText(cost.flops_wsd),
        FlopsText(cost.flops_constant),
        Percent(cost.flops_separate - cost.flops_wsd, cost.flops_separate),
        Percent(cost.flops_separate - cost.flops_constant, cost.flops_separate)));
  }
  if (cost.early_branches > 0) {
    sentences.push_back(absl::StrFormat(
        "%s before its decay, because its trunk is past that step without a checkpoint there: %s "
        "FLOPs of the constant part are trained again",
        cost.early_branches == 1 ? "1 branch starts"
                                 : absl::StrFormat("%d branches start, each", cost.early_branches),
        FlopsText(cost.flops_early)));
  }
  return sentences;
}

}  // namespace allometry::cost
