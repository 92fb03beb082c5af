#include "fitting/report/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/data/cluster.h"
#include "fitting/law/law_names.h"
#include "fitting/report/cells.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr double kManyDf = 1e6;      // of percentiles, which have no t
constexpr double kSpan = 1000;       // how far the multiplier is looked for, to each side
constexpr int kGrid = 60;            // budgets over that span
constexpr double kSameSizes = 1e-3;  // of ln N

// A value on the scale on which its error is nearly symmetric, its standard error and degrees of
// freedom.
struct Spread {
  double value, error, df;
};

std::optional<Spread> SpreadOf(const Estimate& estimate, bool logarithmic) {
  if (!estimate.estimate || !estimate.lower || !estimate.upper) return std::nullopt;
  const auto scale = [&](double value) { return logarithmic ? std::log(value) : value; };
  const double df = estimate.df.value_or(kManyDf);
  const double half = 0.5 * (scale(*estimate.upper) - scale(*estimate.lower));
  const Spread spread{scale(*estimate.estimate), half / StudentQuantile(0.975, df), df};
  if (!std::isfinite(spread.value) || !std::isfinite(spread.error)) return std::nullopt;
  return spread;
}

// Of a sum of independent errors.
double WelchDf(const Spread& first, const Spread& second) {
  const double p = first.error * first.error, q = second.error * second.error;
  const double bottom = p * p / first.df + q * q / second.df;
  return bottom > 0 ? std::max(1.0, (p + q) * (p + q) / bottom) : kManyDf;
}

const MethodFit* FitOf(const FitReport& report, const std::string& method) {
  for (const MethodFit& fit : report.fits) {
    if (Name(fit.method) == method) return &fit;
  }
  return nullptr;
}

const Prediction* PredictionOf(const FitReport& report, const std::string& method, double flops) {
  for (const Prediction& one : report.predictions) {
    if (Name(one.method) == method && one.flops == flops) return &one;
  }
  return nullptr;
}

bool Logarithmic(const std::string& quantity) {
  return quantity == "params" || quantity == "tokens" || quantity == "compute";
}

// The estimate of a quantity in one report, without the compute multiplier; nullptr where it has
// none. `why`: what contradicts it there.
const Estimate* EstimateOf(const FitReport& report, const ComparedQuantity& row,
                           std::optional<std::string>* why) {
  const MethodFit* fit = FitOf(report, row.method);
  if (fit == nullptr || fit->refused) return nullptr;
  if (why != nullptr && fit->not_usable) *why = fit->not_usable;
  if (!row.flops) return fit->Find(row.quantity);
  const Prediction* prediction = PredictionOf(report, row.method, *row.flops);
  if (prediction == nullptr) return nullptr;
  if (why != nullptr && prediction->not_usable) *why = prediction->not_usable;
  return row.quantity == "params"   ? &prediction->params
         : row.quantity == "tokens" ? &prediction->tokens
                                    : &prediction->loss;
}

// ln C at which the report's L*(C) by that method is `loss`, and the slope dL* / d ln C there.
struct Crossing {
  double log_flops, slope;
  Estimate loss;  // with the interval of the nearer budget
};
std::optional<Crossing> FlopsFor(const FitReport& report, const std::string& method, double loss) {
  const Prediction* below = nullptr;
  for (const Prediction& one : report.predictions) {
    if (Name(one.method) != method || !one.loss.estimate) continue;
    if (below != nullptr && *below->loss.estimate >= loss && *one.loss.estimate <= loss &&
        *below->loss.estimate > *one.loss.estimate) {
      const double step = std::log(one.flops / below->flops);
      const double fall = std::log(*below->loss.estimate / *one.loss.estimate);
      const double part = std::log(*below->loss.estimate / loss) / fall;
      return Crossing{std::log(below->flops) + part * step, -loss * fall / step,
                      part < 0.5 ? below->loss : one.loss};
    }
    below = &one;
  }
  return std::nullopt;
}

void SetChange(ComparedQuantity& row, double value, double half, double df) {
  const auto show = [&](double x) { return row.is_ratio ? std::exp(x) : x; };
  row.change.estimate = show(value);
  if (row.not_usable || !std::isfinite(half)) return;
  row.change.lower = show(value - half), row.change.upper = show(value + half);
  row.change.df = df < kManyDf / 2 ? std::optional<double>(df) : std::nullopt;
  row.differ = std::abs(value) > half;
}

// The change of `row` on its scale between two reports; nothing where either has none.
std::optional<double> ChangeOf(const ComparedQuantity& row, const FitReport& first,
                               const FitReport& second) {
  if (row.quantity == "compute") {
    const Prediction* at = PredictionOf(first, row.method, *row.flops);
    if (at == nullptr || !at->loss.estimate) return std::nullopt;
    const auto crossing = FlopsFor(second, row.method, *at->loss.estimate);
    if (!crossing) return std::nullopt;
    return crossing->log_flops - std::log(*row.flops);
  }
  const Estimate* one = EstimateOf(first, row, nullptr);
  const Estimate* other = EstimateOf(second, row, nullptr);
  if (one == nullptr || other == nullptr || !one->estimate || !other->estimate) return std::nullopt;
  if (Logarithmic(row.quantity)) return std::log(*one->estimate / *other->estimate);
  return *one->estimate - *other->estimate;
}

// Rows with their estimates and, from independent errors, their changes' intervals.
std::vector<ComparedQuantity> IndependentRows(const FitReport& first, const FitReport& second,
                                              const std::vector<double>& budgets) {
  std::vector<ComparedQuantity> rows;
  const auto add = [&](const std::string& quantity, const std::string& method,
                       std::optional<double> flops) {
    ComparedQuantity row;
    row.quantity = quantity, row.method = method, row.flops = flops;
    row.is_ratio = Logarithmic(quantity);
    const bool of_compute = quantity == "compute";
    ComparedQuantity read = row;
    if (of_compute) read.quantity = "loss";
    const Estimate* one = EstimateOf(first, read, &row.not_usable);
    const Estimate* other = EstimateOf(second, read, &row.not_usable);
    if (one == nullptr || other == nullptr || !one->estimate || !other->estimate) return;
    row.first = *one, row.second = *other;
    const std::optional<double> change = ChangeOf(row, first, second);
    if (!change) return;
    std::optional<Spread> p = SpreadOf(*one, row.is_ratio && !of_compute);
    std::optional<Spread> q = SpreadOf(*other, row.is_ratio && !of_compute);
    if (of_compute) {
      const auto crossing = FlopsFor(second, method, *one->estimate);
      q = SpreadOf(crossing->loss, false);
      if (p && q) p->error /= std::abs(crossing->slope), q->error /= std::abs(crossing->slope);
    }
    if (p && q) {
      const double df = WelchDf(*p, *q);
      SetChange(row, *change, StudentQuantile(0.975, df) * std::hypot(p->error, q->error), df);
    } else {
      SetChange(row, *change, std::numeric_limits<double>::infinity(), 0);
    }
    rows.push_back(std::move(row));
  };
  for (const char* quantity : {"a", "alpha", "beta", "E"}) {
    for (const MethodFit& fit : first.fits) add(quantity, Name(fit.method), std::nullopt);
  }
  for (double flops : budgets) {
    for (const char* quantity : {"params", "tokens", "loss", "compute"}) {
      for (const MethodFit& fit : first.fits) add(quantity, Name(fit.method), flops);
    }
  }
  return rows;
}

// The points of all sizes but the k-th of `sizes`.
Observations Without(const Observations& from, double log_params) {
  Observations rest;
  rest.params_policy = from.params_policy;
  for (const Observation& point : from.points()) {
    if (std::abs(std::log(point.params) - log_params) < kSameSizes) continue;
    rest.Add(point, point.run < 0 ? "" : from.runs()[point.run],
             point.family < 0 ? "" : from.families()[point.family]);
  }
  return rest;
}

// ln N of the sizes that both have.
std::vector<double> CommonSizes(const Observations& first, const Observations& second) {
  const auto sizes = [](const Observations& of) {
    std::vector<double> sorted;
    for (const Observation& point : of.points()) sorted.push_back(std::log(point.params));
    std::sort(sorted.begin(), sorted.end());
    std::vector<double> distinct;
    for (double size : sorted) {
      if (distinct.empty() || size - distinct.back() > kSameSizes) distinct.push_back(size);
    }
    return distinct;
  };
  std::vector<double> common;
  const std::vector<double> others = sizes(second);
  for (double size : sizes(first)) {
    const auto near = [&](double other) { return std::abs(other - size) <= kSameSizes; };
    if (std::any_of(others.begin(), others.end(), near)) common.push_back(size);
  }
  return common;
}

// The law and window that a fit chose, so that refits read the same.
FitOptions Held(const FitOptions& options, const FitReport& report) {
  FitOptions held = options;
  held.resamples = 1;  // estimates alone
  held.profile = false;
  for (const MethodFit& fit : report.fits) {
    if (fit.method != Method::kParametric) continue;
    held.choose_law = false;
    if (const auto law = ParseLaw(fit.law); law.ok()) held.law = *law;
  }
  if (report.window) {
    if (const auto window = ParseWindow(report.window->window); window.ok()) held.window = *window;
  }
  return held;
}

absl::Status Pair(const Observations& first, const Observations& second, const FitOptions& own,
                  const FitOptions& grid, Comparison& comparison) {
  const std::vector<double> sizes = CommonSizes(first, second);
  comparison.clusters = static_cast<int>(sizes.size());
  if (comparison.clusters < kFewestClusters) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "a comparison in pairs needs at least %d sizes that both have, and there are %d; without "
        "--paired their errors are taken to be independent",
        kFewestClusters, comparison.clusters));
  }
  const FitOptions held_first = Held(own, comparison.first);
  const FitOptions held_second = Held(grid, comparison.second);
  std::vector<std::vector<double>> changes(comparison.rows.size());
  for (double size : sizes) {
    ALLO_ASSIGN_OR_RETURN(const FitReport one, Fit(Without(first, size), held_first));
    ALLO_ASSIGN_OR_RETURN(const FitReport other, Fit(Without(second, size), held_second));
    for (size_t k = 0; k < comparison.rows.size(); ++k) {
      const auto change = ChangeOf(comparison.rows[k], one, other);
      if (change) changes[k].push_back(*change);
    }
  }
  const double groups = comparison.clusters;
  for (size_t k = 0; k < comparison.rows.size(); ++k) {
    ComparedQuantity& row = comparison.rows[k];
    const double whole = row.is_ratio ? std::log(*row.change.estimate) : *row.change.estimate;
    row.change.lower.reset(), row.change.upper.reset(), row.differ.reset();
    if (changes[k].size() < sizes.size()) continue;  // a size without which there is no estimate
    double squares = 0;
    for (double change : changes[k]) squares += (change - whole) * (change - whole);
    SetChange(row, whole,
              StudentQuantile(0.975, groups - 1) * std::sqrt(squares * (groups - 1) / groups),
              groups - 1);
  }
  return absl::OkStatus();
}

// The middle of the C that both have; where they have none in common, the smaller of the largest.
std::optional<double> InsideBoth(const Observations& first, const Observations& second) {
  if (first.used() == 0 || second.used() == 0) return std::nullopt;
  double low = 0, high = std::numeric_limits<double>::infinity();
  for (const Observations* of : {&first, &second}) {
    double least = std::numeric_limits<double>::infinity(), most = 0;
    for (const Observation& point : of->points()) {
      least = std::min(least, point.compute()), most = std::max(most, point.compute());
    }
    low = std::max(low, least), high = std::min(high, most);
  }
  return low < high ? std::sqrt(low * high) : high;
}

std::string Verdict(const Comparison& comparison) {
  for (const ComparedQuantity& row : comparison.rows) {
    if (row.quantity != "a" || row.not_usable || !row.differ) continue;
    return absl::StrFormat(
        "by %s a is %.4f and %.4f: %s (difference %+.4f, 95 %% interval %+.4f to %+.4f)",
        row.method, *row.first.estimate, *row.second.estimate,
        *row.differ ? "they differ beyond chance" : "the data do not tell them apart",
        *row.change.estimate, *row.change.lower, *row.change.upper);
  }
  return "no method gives both an exponent a with an interval: the data do not say whether they "
         "differ";
}

}  // namespace

absl::StatusOr<Comparison> Compare(const Observations& first, const Observations& second,
                                   const FitOptions& options, bool paired) {
  FitOptions own = options;
  if (own.budgets.empty()) {
    if (const auto both = InsideBoth(first, second)) own.budgets = {*both};
  }
  // The second is asked at many budgets, to find where it has the first one's losses.
  FitOptions grid = own;
  for (double flops : own.budgets) {
    for (int k = 0; k <= kGrid; ++k) {
      const double at = flops / kSpan * std::pow(kSpan * kSpan, double(k) / kGrid);
      if (std::abs(std::log(at / flops)) > 1e-9) grid.budgets.push_back(at);
    }
  }
  Comparison comparison;
  comparison.paired = paired;
  ALLO_ASSIGN_OR_RETURN(comparison.first, Fit(first, own));
  ALLO_ASSIGN_OR_RETURN(comparison.second, Fit(second, own));
  ALLO_ASSIGN_OR_RETURN(const FitReport wide, Fit(second, grid));
  comparison.rows = IndependentRows(comparison.first, wide, own.budgets);
  if (paired) ALLO_RETURN_IF_ERROR(Pair(first, second, own, grid, comparison));
  const FitReport &one = comparison.first, &other = comparison.second;
  // Over the grid the second may contradict itself where its own report has no budget.
  for (const ComparedQuantity& row : comparison.rows) {
    if (!row.not_usable) continue;
    const auto has = [&](const FitReport& report) {
      return std::any_of(report.conclusion.contradictions.begin(),
                         report.conclusion.contradictions.end(),
                         [&](const Contradiction& said) { return said.text == *row.not_usable; });
    };
    const std::string note = "not usable in B: " + *row.not_usable;
    if (has(one) || has(other) ||
        std::count(comparison.notes.begin(), comparison.notes.end(), note)) {
      continue;
    }
    comparison.notes.push_back(note);
  }
  if (one.params_policy != other.params_policy || one.flops_convention != other.flops_convention) {
    comparison.notes.push_back(absl::StrFormat(
        "the two count differently: N %s and %s, C %s and %s. A difference may be that of the "
        "counts",
        one.params_policy, other.params_policy, one.flops_convention, other.flops_convention));
  }
  if (!paired && CommonSizes(first, second).size() >= static_cast<size_t>(kFewestClusters)) {
    comparison.notes.push_back(
        "errors are taken to be independent; where equal sizes share theirs (the same runs, or the "
        "same seeds and order of data), compare with --paired");
  }
  for (const auto& [name, report] : {std::pair("A", &one), std::pair("B", &other)}) {
    for (const Answer& answer : report->conclusion.answers) {
      if (answer.decades_outside < 0.05) continue;
      comparison.notes.push_back(
          absl::StrFormat("C = %s is %.1f decades outside of what %s's "
                          "fit used",
                          Short(answer.flops, 2), answer.decades_outside, name));
    }
  }
  comparison.verdict = Verdict(comparison);
  return comparison;
}

}  // namespace allometry::fitting
