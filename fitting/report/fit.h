// Scaling-law fits: from observations to coefficients, their intervals, and what they predict.
//
// The trouble: a person bets a large run on these numbers. An optimiser that stopped early, a
// coefficient at its bound, an interval that counts 60 points of one curve as 60 experiments,
// or a method that disagrees with another and is not asked: each has changed published
// conclusions. So a fit here is a report: the estimate, the proof that it is the optimum, the
// interval with the number of clusters it rests on, every exclusion, every other method that
// applies, and a refusal with its reason where the data cannot say. A refusal is a result, not
// an error.
//
//   L(N, D) = E + A / N^alpha + B / D^beta                (Hoffmann et al. 2022, eq. 10)
//   N*(C) = G (C/6)^a,  D*(C) = C / (6 N*),  a = beta / (alpha + beta),  b = 1 - a   for C = 6 N D
//   G = (alpha A / (beta B))^(1 / (alpha + beta)),  L*(C) = L(N*(C), D*(C))
//
// Determinism: the same observations in any order, options and kFitVersion give the same fit_id
// and the same bits on one machine for any number of threads, and the same values to 1e-9 on
// another. No clock, no global state; Fit may be called from many threads at once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/data/observation.h"
#include "fitting/data/options.h"
#include "fitting/data/result.h"

namespace allometry::fitting {

// One quantity under several methods and conventions.
struct MethodEstimate {
  std::string method, params_policy, flops_convention;
  Estimate value;
};
struct Difference {
  std::string first, second;  // "frontier [total, 6nd]"
  double difference = 0;      // first - second; of logarithms for params and tokens
  std::optional<double> lower, upper;
  std::optional<bool> covers_zero;
};
struct Agreement {
  std::string quantity;         // "a", "ln params", "loss"
  std::optional<double> flops;  // the budget, where there is one
  std::vector<MethodEstimate> estimates;
  std::vector<Difference> differences;
};

// A size that the fit did not read, against what the fit says of it
// (fitting/report/extrapolation.h): the point of its curve that is closest to the predicted line of
// optima.
struct Extrapolation {
  std::string family;
  Method method = Method::kParametric;
  double params = 0, tokens = 0, flops = 0, loss = 0;  // of that point
  Estimate log10_params, log10_tokens;                 // of realised / predicted optimum
  Estimate loss_gap;                                   // realised - predicted, nats
  double decades_outside = 0;
  bool turns = false;  // the curve comes to the line and leaves it; otherwise ratios are bounds

  // Beyond the prediction's interval: the curve never came down to the line.
  bool above_line() const { return loss_gap.lower && *loss_gap.lower > 0; }
};

// A size that alone bends the parametric fit (fitting/report/influence.h).
struct Influence {
  struct Parameter {
    std::string name;
    double with = 0, without = 0;  // that size
  };
  double params = 0;
  int64_t points = 0;
  double shift = 0;                         // of its loss from the fit without it, relative
  double scatter = 0, scatter_without = 0;  // rms of ln L about the fit with and without it
  std::vector<Parameter> parameters;
};

// Which points the parametric law was fitted to, and why (fitting/method/window.h).
struct WindowSummary {
  std::string window;   // "all", "tokens_per_param>=4", as --window takes it
  bool chosen = false;  // by back-test, not given
  std::string why;
  int64_t points = 0, total = 0;
  // Of the rolling-origin back-test, ln L over its targets: of the window and of all points.
  std::optional<double> rms, mean, rms_of_all, mean_of_all;
  // How far the curves begin off the law in the window (fitting/method/settled.h): rms of ln L, the
  // p-value against noise along curves, and how much runs differ. None where there are no curves.
  std::optional<double> start, start_p, between_runs;
  bool settled = true;
};

// What the left-over residuals of the parametric law say (fitting/interval/lack_of_fit.h).
struct LackOfFitSummary {
  std::optional<double> p;
  bool rejected = false;  // the law does not hold over its own points
  std::string pattern;    // the clearest
  double share = 0;       // of the residuals' squares that it explains
};

// What a person reads first: at a budget, the best supported N, D and loss. Empty estimates are not
// determined by the data.
struct Answer {
  double flops = 0;
  std::optional<Method> sized_by, loss_by;
  Estimate params, tokens, tokens_per_param, loss;
  double decades_outside = 0;  // beyond what the methods used
};
// A rule that the data break (fitting/report/conclusion.h).
struct Contradiction {
  std::string rule;                  // stored: "floor-above-loss", ...
  std::vector<std::string> methods;  // whose predictions are not usable, or which disagree
  std::string text;
};
struct Conclusion {
  std::vector<Answer> answers;  // one a budget
  std::string why;              // which method, and why
  std::vector<Contradiction> contradictions;
};

struct FitReport {
  Conclusion conclusion;
  std::string fit_id;  // 16 hexadecimal digits
  int64_t used = 0, total = 0;
  std::vector<Exclusion> exclusions;
  ReadSummary read;  // of a file: which column was taken for what
  std::string params_policy, flops_convention;
  std::vector<MethodFit> fits;
  std::vector<Agreement> agreement;
  std::vector<Prediction> predictions;
  std::vector<TradeOff> trade_offs;  // of the parametric law
  std::optional<BackTest> back_test;
  std::optional<Influence> influence;
  std::optional<WindowSummary> window;  // of the parametric law
  std::optional<LackOfFitSummary> lack_of_fit;
  bool default_budgets = false;               // none was asked for: ten times the largest C
  std::vector<Extrapolation> extrapolations;  // of options.withhold, a method each
  std::vector<std::string> notes;
  Picture picture;
};

// INVALID_ARGUMENT for options outside their range and for no observations at all. Everything
// that the data cannot say is in the report: MethodFit::refused, IntervalSummary::reason.
absl::StatusOr<FitReport> Fit(const Observations& observations, const FitOptions& options);

// One JSON object (docs/fitting.md). Doubles round-trip; never NaN or infinity: null instead.
std::string ReportJson(const FitReport& report);
// The same as a table of at most 100 columns.
std::string ReportText(const FitReport& report);
// What that table begins with: the answer, by which method and why, and what contradicts it. Each a
// line of a paragraph, at most 100 columns.
std::string ConclusionText(const FitReport& report);

// Pre-registration: how a stored prediction did once a run at its budget has ended.
struct Score {
  double log10_params = 0;  // log10(realised / predicted); 0 where nothing was predicted
  double log10_tokens = 0;
  double loss_error = 0;            // realised - predicted, nats
  std::optional<bool> loss_inside;  // within the predicted interval; none: there was no interval
};
// INVALID_ARGUMENT where the run's C is not within 10 % of the prediction's, or where no loss was
// predicted.
absl::StatusOr<Score> ScorePrediction(const Prediction& prediction, const Observation& realised);

}  // namespace allometry::fitting
