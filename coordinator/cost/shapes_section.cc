#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "coordinator/cost/plan.h"

namespace allometry::cost {
namespace {

// A size as "34k" or "5e4", whose shape was chosen for its count; shapes and presets have others.
bool IsCount(absl::string_view size) {
  return !size.empty() && absl::ascii_isdigit(size[0]) &&
         std::all_of(size.begin(), size.end(), [](char c) {
           return absl::ascii_isdigit(c) || absl::StrContains(".eE+_kKmMbBgGtT", c);
         });
}

// Whether `layers` is at least `factor` times `other`, or the other way round.
bool Jumps(int layers, int other, double factor) {
  return std::max(layers, other) >= factor * std::min(layers, other);
}

}  // namespace

PlanSection ShapesSection(const SweepPlan& plan) {
  constexpr double kPeak = 2;  // against both neighbours
  constexpr double kNear = 2;  // sizes that should have like shapes
  constexpr double kStep = 3;  // between near sizes
  constexpr char kAdvice[] =
      "a curve over sizes then shows the change of shape too; aspect: smooth in the section model "
      "chooses shapes that grow evenly, and shapes: [{layers: ..., heads: ..., width: ...}] gives "
      "them";
  PlanSection section;
  section.title = "shapes";
  std::map<int64_t, const PlannedRun*> by_params;
  for (const PlannedRun& run : plan.runs) {
    // Of models that are not ours no layers are known.
    if (IsCount(run.size) && run.layers > 0) by_params.emplace(run.params, &run);
  }
  std::vector<const PlannedRun*> sizes;
  for (const auto& [params, run] : by_params) sizes.push_back(run);
  for (size_t i = 0; i < sizes.size(); ++i) {
    const PlannedRun& size = *sizes[i];
    const PlannedRun* before = i > 0 ? sizes[i - 1] : nullptr;
    const PlannedRun* after = i + 1 < sizes.size() ? sizes[i + 1] : nullptr;
    const bool peak = before != nullptr && after != nullptr &&
                      (size.layers > before->layers) == (size.layers > after->layers) &&
                      Jumps(size.layers, before->layers, kPeak) &&
                      Jumps(size.layers, after->layers, kPeak);
    if (peak) {
      section.sentences.push_back(absl::StrFormat(
          "warning: %s has %d layer%s, but its neighbours %s and %s have %d and %d: %s", size.size,
          size.layers, size.layers == 1 ? "" : "s", before->size, after->size, before->layers,
          after->layers, kAdvice));
      ++i;  // the neighbour would be told about the same jump
      continue;
    }
    const bool step = after != nullptr && Jumps(size.layers, after->layers, kStep) &&
                      static_cast<double>(after->params) < kNear * static_cast<double>(size.params);
    const PlannedRun* third = i + 2 < sizes.size() ? sizes[i + 2] : nullptr;
    const bool told_next = step && third != nullptr &&
                           (after->layers > size.layers) == (after->layers > third->layers) &&
                           Jumps(after->layers, third->layers, kPeak);
    if (!step || told_next) continue;
    section.sentences.push_back(
        absl::StrFormat("warning: the neighbours %s and %s have %d and %d layers: %s", size.size,
                        after->size, size.layers, after->layers, kAdvice));
  }
  return section;
}

}  // namespace allometry::cost
