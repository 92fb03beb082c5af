#include "run/observation.h"

#include <algorithm>
#include <limits>

namespace allometry::run {

StepRange ObservedSteps(const ObservedRun& run) {
  const bool is_model = run.stage != Stage::kTokenizer && run.stage != Stage::kEvaluate &&
                        run.stage != Stage::kPolicy;
  if (run.kind != RunKind::kTrain || !is_model || run.is_trunk) return {};
  if (run.schedule == Schedule::kConstant) {
    return {run.warmup_steps, std::numeric_limits<int64_t>::max()};
  }
  return {std::max(run.warmup_steps, run.steps - 1), run.steps};
}

Exclusion ExclusionOf(const ObservedRun& run, const ObservedPoint& point, double max_epochs) {
  // Epochs are a quotient times a count: a cell at max_epochs exactly may be a rounding above.
  constexpr double kRounding = 1e-9;
  if (!ObservedSteps(run).Contains(point.step)) return Exclusion::kNotItsStep;
  if (run.stage == Stage::kLadder) return Exclusion::kLadder;
  if (run.diverged) return Exclusion::kDiverged;
  if (run.cancelled) return Exclusion::kCancelled;
  if (!point.is_finite) return Exclusion::kNotFinite;
  const bool repeated = max_epochs > 0 && point.epochs > max_epochs * (1 + kRounding);
  return repeated ? Exclusion::kRepeated : Exclusion::kNone;
}

}  // namespace allometry::run
