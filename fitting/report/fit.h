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

namespace allometry::fitting {

// Part of every fit id. Raise it when any result changes.
inline constexpr int kFitVersion = 1;

// A number and its 95 % interval. Without bounds the interval's `reason` says why.
struct Estimate {
  std::optional<double> estimate;
  std::optional<double> lower, upper;
  std::optional<double> df;  // degrees of freedom of the t quantile; none for percentiles
};
struct NamedEstimate {
  std::string name;
  Estimate value;
};

// Where the interval came from (fitting/interval/interval.h).
struct IntervalSummary {
  std::string method;      // "CR2, Bell-McCaffrey df", "cluster bootstrap percentile", "none", ...
  std::string reason;      // why there is no interval; otherwise ""
  std::string cluster_by;  // "params", "run", "none"
  int clusters = 0;
  int resamples = 0;
  int refits_at_bounds = 0;                      // kept, and flagged above 10 %
  std::optional<double> intraclass_correlation;  // of the residuals within clusters
};

// The proof that the estimate is the optimum of its objective (fitting/solve/optimum.h).
struct Certificate {
  // max |d(value/delta)| over the centred parameters, delta = 1 for squares; for least absolute
  // deviations the largest multiplier of a zero residual, at most 1 at an optimum.
  std::optional<double> gradient_norm;
  int starts = 0;
  int starts_at_optimum = 0;
  std::vector<std::string> active_bounds;
  std::optional<double> condition_number;  // of the Hessian over the centred parameters
  std::vector<std::string> flat_directions;
};

struct ObjectiveSummary {
  std::string name;             // "huber", "lsq-log", "lsq", "lad"
  std::optional<double> delta;  // of Huber
  // sum r^2 for squares (no 1/2), sum |r| for lad, sum of r^2/2 inside delta for Huber.
  std::optional<double> value;
  int64_t observations = 0;
};

struct Outlier {
  int64_t line = 0;
  double params = 0, tokens = 0, loss = 0;
  double residual = 0;    // ln L - ln Lhat
  double deviations = 0;  // residual / (1.4826 median |residual|)
};

struct MethodFit {
  Method method = Method::kParametric;
  std::string law;  // "standard", ...; "power law" for frontier and isoflop
  std::string params_policy, flops_convention;
  ObjectiveSummary objective;
  std::vector<NamedEstimate> parameters;
  IntervalSummary interval;
  std::vector<NamedEstimate> profile;  // on request: independent errors only
  Certificate certificate;
  std::optional<std::string> refused;  // the reason; estimates shown then have no interval
  std::vector<Outlier> outliers;       // kept in the fit, named
  std::vector<std::string> notes;

  // The estimate of that name, or nullptr.
  const Estimate* Find(absl::string_view name) const;
};

struct Prediction {
  double flops = 0;
  Method method = Method::kParametric;
  Estimate params, tokens, loss;
  double decades_outside = 0;  // log10 distance of `flops` from the range of the data's C
};

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

// Refit without the top decade of compute; errors there are ln L - ln Lhat.
struct BackTest {
  double cutoff_flops = 0;
  int64_t fitted = 0, held_out = 0;
  std::optional<double> mean_error, rms_error, rms_error_inside;
  std::optional<std::string> refused;
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
  double shift = 0;  // of its loss from the fit without it, relative
  double scatter = 0, scatter_without = 0;  // rms of ln L about the fit with and without it
  std::vector<Parameter> parameters;
};

// What ReportSvg draws, thinned to a few thousand marks.
struct Picture {
  struct Mark {
    double flops = 0, params = 0, loss = 0;
  };
  struct Band {
    double flops = 0;
    Estimate params, loss;
  };
  std::vector<Mark> data, frontier;
  std::vector<Band> fit;
};

struct FitReport {
  std::string fit_id;  // 16 hexadecimal digits
  int64_t used = 0, total = 0;
  std::vector<Exclusion> exclusions;
  ReadSummary read;  // of a file: which column was taken for what
  std::string params_policy, flops_convention;
  std::vector<MethodFit> fits;
  std::vector<Agreement> agreement;
  std::vector<Prediction> predictions;
  std::optional<BackTest> back_test;
  std::optional<Influence> influence;
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
// A self-contained SVG: data, frontier, fit and intervals.
std::string ReportSvg(const FitReport& report);

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
