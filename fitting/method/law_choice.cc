#include "fitting/method/law_choice.h"

#include "absl/strings/str_format.h"

namespace allometry::fitting {
namespace {

LawFit FitLaw(LawKind kind, const DataView& view, const Clusters& clusters,
              const FitOptions& options) {
  LawFit fit;
  fit.problem = {&FindLaw(kind), {options.objective, options.delta}, options.fixed_floor};
  if (options.window.kind == WindowKind::kAuto) {
    fit.window = ChooseWindow(view, fit.problem);
  } else {
    fit.window.window = options.window;
    fit.window.why = "as asked for";
  }
  fit.windowed = Restrict(view, fit.window.window);
  fit.clusters = Restrict(clusters, fit.windowed.index);
  const Sample& sample = fit.windowed.view.sample;
  fit.optimum = FindOptimum(fit.problem, sample);
  if (!fit.optimum.refused) {
    if (options.window.kind == WindowKind::kAuto) {
      fit.later = FitLaterWindow(view, fit.problem, fit.window.window, fit.optimum.theta);
    }
    fit.lack = TestLackOfFit(*fit.problem.law, sample, fit.clusters, fit.optimum.theta);
  }
  return fit;
}

std::string Pattern(const LackOfFit& lack) {
  return absl::StrFormat("%.0f %% of what it leaves over follows %s (p = %.2g)", 100 * lack.share,
                         lack.worst, lack.p.value_or(1));
}

}  // namespace

LawChoice ChooseLaw(const DataView& view, const Clusters& clusters, const FitOptions& options) {
  LawChoice choice;
  if (!options.choose_law) {
    choice.fit = FitLaw(options.law, view, clusters, options);
    return choice;
  }
  choice.fit = FitLaw(LawKind::kStandard, view, clusters, options);
  if (!choice.fit.lack.Rejected()) return choice;
  LawFit coupled = FitLaw(LawKind::kCoupled, view, clusters, options);
  if (coupled.optimum.refused || coupled.lack.Rejected()) return choice;
  choice.why = absl::StrFormat("law coupled instead of standard: of standard %s; of coupled %s",
                               Pattern(choice.fit.lack), Pattern(coupled.lack));
  choice.fit = std::move(coupled);
  return choice;
}

}  // namespace allometry::fitting
