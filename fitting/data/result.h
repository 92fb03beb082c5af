// What one method says: estimates with intervals, where the interval came from, the proof of the
// optimum, predictions. fitting/report/fit.h puts the methods together into a report.
//
// Plain values, no locking: share const, or copy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "fitting/data/options.h"

namespace allometry::fitting {

// Part of every fit id. Raise it when any result changes.
inline constexpr int kFitVersion = 3;

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
  // The data contradict it: its predictions have no interval and answer nothing.
  std::optional<std::string> not_usable;
  std::vector<Outlier> outliers;  // kept in the fit, named
  std::vector<std::string> notes;

  // The estimate of that name, or nullptr.
  const Estimate* Find(absl::string_view name) const;
};

struct Prediction {
  double flops = 0;
  Method method = Method::kParametric;
  Estimate params, tokens, loss;
  // log10 distance of `flops` from the C that the method used: the law's points, or the minima.
  double decades_outside = 0;
  std::optional<std::string> not_usable = std::nullopt;  // as of the fit
};

// A model other than the compute-optimal one of a budget (fitting/law/trade_off.h).
struct TradeOff {
  double flops = 0;
  bool serving = false;  // or a smaller model
  double of = 0;         // served tokens, or how many times smaller
  std::vector<NamedEstimate> parts;
};

// Refit without the top decade of compute, or without less of it where otherwise less than a decade
// would be left; errors there are ln L - ln Lhat.
struct BackTest {
  double cutoff_flops = 0;
  int64_t fitted = 0, held_out = 0;
  double fitted_decades = 0;  // of C, from the lowest point to the cutoff
  std::optional<double> mean_error, rms_error, rms_error_inside;
  std::optional<std::string> refused;
};

// What a figure shows (figures/fit_figure.h), thinned to a few thousand marks.
struct Picture {
  struct Mark {
    double flops = 0, params = 0, tokens = 0, loss = 0;
    // ln L - ln Lhat of the parametric law; none without one.
    std::optional<double> residual = std::nullopt;
    bool in_window = true;  // read by the parametric law
  };
  // The points of one run, or of one size where runs have a point each; by ascending C.
  struct Curve {
    double params = 0;
    std::vector<Mark> marks;
  };
  // Estimates along C, from the smallest of the data to the largest prediction.
  struct Band {
    double flops = 0;
    Estimate params, tokens, loss;
  };
  // One method: the minima that it rests on and its lines. No bands where it may not be drawn.
  struct Line {
    Method method = Method::kParametric;
    std::vector<Mark> minima;
    std::vector<Band> bands;
    std::string why_not;  // refused, or not usable; otherwise ""
  };
  // Loss over N at one C, and the isoFLOP method's curve through its minimum there.
  struct Profile {
    double flops = 0;
    std::vector<Mark> points;  // by ascending N
    std::optional<Mark> minimum;
    std::vector<Mark> curve;
  };
  // The parametric law on a grid; loss[t * params.size() + p].
  struct Surface {
    std::vector<double> params, tokens, loss;
  };

  std::vector<Curve> curves;  // by ascending N
  std::vector<Line> lines;
  std::vector<Profile> profiles;
  std::optional<Surface> surface;
  double residual_sd = 0;  // robust, of the residuals in the window
};

}  // namespace allometry::fitting
