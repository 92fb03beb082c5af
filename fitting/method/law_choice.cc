#include "fitting/method/law_choice.h"

#include "absl/strings/str_format.h"
#include "fitting/interval/lack_of_fit.h"
#include "fitting/method/window.h"

namespace allometry::fitting {
namespace {

struct Tried {
  bool identified = false;
  LackOfFit lack;
};

Tried Try(LawKind kind, const DataView& view, const Clusters& clusters, const FitOptions& options) {
  const Problem problem{&FindLaw(kind), {options.objective, options.delta}, 0};
  const Window window = options.window.kind == WindowKind::kAuto
                            ? ChooseWindow(view, problem).window
                            : options.window;
  const WindowedView windowed = Restrict(view, window);
  Tried tried;
  if (windowed.index.empty()) return tried;
  const Sample& sample = windowed.view.sample;
  const Optimum optimum = FindOptimum(problem, sample);
  tried.identified = !optimum.refused;
  if (!tried.identified) return tried;
  tried.lack =
      TestLackOfFit(*problem.law, sample, Restrict(clusters, windowed.index), optimum.theta);
  return tried;
}

std::string Pattern(const LackOfFit& lack) {
  return absl::StrFormat("%.0f %% of what it leaves over follows %s (p = %.2g)", 100 * lack.share,
                         lack.worst, lack.p.value_or(1));
}

}  // namespace

LawChoice ChooseLaw(const DataView& view, const Clusters& clusters, const FitOptions& options) {
  LawChoice choice;
  const Tried standard = Try(LawKind::kStandard, view, clusters, options);
  if (!standard.identified || !standard.lack.Rejected()) return choice;
  const Tried coupled = Try(LawKind::kCoupled, view, clusters, options);
  if (!coupled.identified || coupled.lack.Rejected()) return choice;
  choice.law = LawKind::kCoupled;
  choice.why = absl::StrFormat("law coupled instead of standard: of standard %s; of coupled %s",
                               Pattern(standard.lack), Pattern(coupled.lack));
  return choice;
}

}  // namespace allometry::fitting
