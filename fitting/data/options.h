// How to fit: the options of `allo fit`, their names and their defaults.
//
// Every name that a person types is parsed here, and a wrong one is INVALID_ARGUMENT with the
// list of those allowed. The same words stand in every report, because "the fit" of a scaling law
// is not one thing: Hoffmann et al. (2022) minimise a Huber loss on ln L, Pearce et al. (2025)
// squares on L, and the numbers commonly quoted from Besiroglu et al. (2024) are the least
// absolute deviations fit to their printed digits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::fitting {

// Rows of the method table (fitting/method/methods.cc), whose words they are; those without an
// enumerator follow by position.
enum class Method { kAll, kParametric, kFrontier, kIsoflop, kLossCompute };

// Rows of the law table (fitting/law/law.h), which names and parses them. Those without an
// enumerator follow by position.
enum class LawKind {
  kStandard,    // L = E + A / N^alpha + B / D^beta
  kCoupled,     // L = E + (A / N^alpha + B / D^beta)^gamma
  kNoFloor,     // L = A / N^alpha + B / D^beta
  kFixedFloor,  // the standard law with E given
};

// Rows of the objective table (fitting/law/objective.h); r is the residual of a point, w its
// weight.
enum class ObjectiveKind {
  kHuber,   // sum w h(ln L - ln Lhat), h(r) = r^2/2 inside delta, delta (|r| - delta/2) outside
  kLsqLog,  // sum w (ln L - ln Lhat)^2
  kLsq,     // sum w (L - Lhat)^2
  kLad,     // sum w |ln L - ln Lhat|
};

// Which points share their errors.
enum class Cluster {
  kParams,  // those of one model size (ln N within .001); runs where every size has one point
  kRun,     // those of one run label (the size where there is none)
  kNone,    // none: every point for itself; too narrow whenever points share a run or a size
};

// How the frontier finds the best N at a given C (fitting/method/frontier.h).
enum class Minimum { kParabola, kArgmin, kAkima, kCrossing };

// Which C a report speaks of.
enum class FlopsConvention {
  kAuto,  // 6nd where the data's C is 6 N D within 1 %, otherwise data
  k6nd,   // C = 6 N D, whatever the data says
  kData,  // the data's own C
};

// Which points the parametric law is asked to explain (fitting/method/window.h).
enum class WindowKind {
  kAuto,            // chosen
  kAll,             // every point
  kTokens,          // D at least at_least
  kTokensPerParam,  // D / N at least at_least
  kFlops,           // C at least at_least
};
struct Window {
  WindowKind kind = WindowKind::kAuto;
  double at_least = 0;
};

struct FitOptions {
  Method method = Method::kAll;
  LawKind law = LawKind::kStandard;
  bool choose_law = false;  // standard, or coupled where it fits better (method/law_choice.h)
  ObjectiveKind objective = ObjectiveKind::kHuber;
  double delta = 1e-3;     // Huber threshold on ln L
  double fixed_floor = 0;  // E of LawKind::kFixedFloor, nats; must be > 0 there
  int resamples = 0;       // 0: each method's own (bootstrap 1000 to 4000, resampled sweeps 200);
                           // too few for an interval (100 and 20) give none
  Cluster cluster = Cluster::kParams;
  uint64_t seed = 0;            // of every resample; results do not depend on `threads`
  std::vector<double> budgets;  // FLOPs at which to predict N*, D*, L*
  // What serving so many tokens makes of each budget's answer, and models so many times smaller
  // than N* (fitting/law/trade_off.h).
  std::vector<double> served_tokens, times_smaller;
  // Families (the sizes of a sweep) that the fit does not read, but predicts.
  std::vector<std::string> withhold;
  bool profile = false;  // adds profile-likelihood intervals, valid for independent errors only
  Minimum minimum = Minimum::kParabola;
  Window window;  // of the parametric law
  FlopsConvention flops = FlopsConvention::kAuto;
  int threads = 1;  // for resamples; never changes a result
  // Asked between resamples and methods, from any thread: true gives the fit up. Empty: never.
  std::function<bool()> cancelled = {};
};

// INVALID_ARGUMENT, with the names allowed, for anything else.
absl::StatusOr<Method> ParseMethod(absl::string_view name);
absl::StatusOr<ObjectiveKind> ParseObjective(absl::string_view name);
absl::StatusOr<Cluster> ParseCluster(absl::string_view name);
absl::StatusOr<Minimum> ParseMinimum(absl::string_view name);
absl::StatusOr<FlopsConvention> ParseFlopsConvention(absl::string_view name);
// "auto", "all", "tokens>=3e6", "tokens_per_param>=2", "flops>=1e18".
absl::StatusOr<Window> ParseWindow(absl::string_view text);
// "1e21,3e22": positive numbers between commas, "1e18..1e24" every decade; "" is none.
absl::StatusOr<std::vector<double>> ParseBudgets(absl::string_view text);

// "600k,1M": labels between commas; "" is none.
std::vector<std::string> ParseLabels(absl::string_view text);

// The names that the functions above accept.
std::string Name(Method method);
std::string Name(ObjectiveKind objective);
std::string Name(Cluster cluster);
std::string Name(Minimum minimum);
std::string Name(FlopsConvention convention);
// As ParseWindow reads it.
std::string Name(const Window& window);

// "2, 4": numbers above `above`, named `what` in errors.
absl::StatusOr<std::vector<double>> ParseNumbers(absl::string_view text, const char* what,
                                                 double above);

// INVALID_ARGUMENT for values outside their range: delta, resamples, budgets, fixed_floor, threads.
absl::Status Validate(const FitOptions& options);

}  // namespace allometry::fitting
