#include "fitting/method/law_choice.h"

#include "absl/strings/str_format.h"

namespace allometry::fitting {
namespace {

// What is left of a warm-up in the window shows as a difference to a window that begins later.
std::optional<Theta> LaterFit(const DataView& view, const LawFit& fit) {
  const std::optional<Window> later = LaterWindow(view, fit.problem, fit.window.window);
  if (!later) return std::nullopt;
  const WindowedView windowed = Restrict(view, *later);
  const Sample& sample = windowed.view.sample;
  const Refit refit =
      RefitFrom(fit.problem, sample, fit.optimum.theta, Box::For(sample, *fit.problem.law));
  if (!refit.converged || refit.at_bound) return std::nullopt;
  return refit.theta;
}

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
  if (!fit.optimum.refused && options.window.kind == WindowKind::kAuto) {
    fit.later = LaterFit(view, fit);
  }
  if (!fit.optimum.refused) {
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
