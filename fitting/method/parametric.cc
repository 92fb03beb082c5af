#include "fitting/method/parametric.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "fitting/interval/interval.h"
#include "fitting/interval/profile.h"
#include "fitting/law/formula.h"
#include "fitting/law/trade_off.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr double kOutlier = 6;  // robust standard deviations
constexpr size_t kListedOutliers = 20;
// Percentiles of 4000 resamples are uncertain by 4 % of a standard error, of 1000 by 8 %. A refit
// takes about a third of a microsecond a point: three million points in all are a second.
constexpr int kMostBootstrap = 4000, kFewestBootstrap = 1000;
constexpr size_t kBootstrapPoints = 3000000;
constexpr int kBands = 24;

void ListOutliers(const DataView& view, ParametricFit& fit) {
  MethodFit& report = fit.report;
  const Objective log_residual{ObjectiveKind::kLad, 0};
  std::vector<double> residuals, sizes;
  for (size_t i = 0; i < view.sample.size(); ++i) {
    residuals.push_back(
        Residual(*fit.problem.law, log_residual, view.sample, fit.optimum.theta, i, nullptr));
    sizes.push_back(std::abs(residuals.back()));
  }
  const double deviation = 1.4826 * Median(sizes);
  fit.robust_sd = deviation;
  if (!(deviation > 1e-12)) return;  // a noise-free table
  size_t count = 0;
  for (size_t i = 0; i < residuals.size(); ++i) {
    if (sizes[i] <= kOutlier * deviation) continue;
    ++count;
    const Observation& p = view.points[i];
    report.outliers.push_back(
        {p.line, p.params, p.tokens, p.loss, residuals[i], residuals[i] / deviation});
  }
  std::stable_sort(report.outliers.begin(), report.outliers.end(), [](auto& a, auto& b) {
    return std::abs(a.deviations) > std::abs(b.deviations);
  });
  if (report.outliers.size() > kListedOutliers) report.outliers.resize(kListedOutliers);
  if (count > 0) {
    report.notes.push_back(absl::StrFormat(
        "%d point%s beyond %g robust s.d. of ln L: kept in the fit, the largest listed", count,
        count == 1 ? "" : "s", kOutlier));
  }
}

// Rows to fill, and the quantities of their parts in the same order.
void AddTradeOffs(const FitOptions& options, const Cost& cost, std::vector<Quantity>& quantities,
                  std::vector<TradeOff>& rows) {
  const auto add = [&](double flops, bool serving, double of, const std::vector<Quantity>& parts) {
    TradeOff& row = rows.emplace_back(TradeOff{flops, serving, of, {}});
    for (const Quantity& part : parts) {
      row.parts.push_back({part.name(), {}});
      quantities.push_back(part);
    }
  };
  for (double flops : options.budgets) {
    for (double served : options.served_tokens) {
      add(flops, true, served, ServingQuantities(flops, served, cost));
    }
    for (double times : options.times_smaller) {
      add(flops, false, times, SmallerQuantities(flops, times, cost));
    }
  }
}

}  // namespace

ParametricFit FitParametric(const LawFit& fitted, const FitOptions& options) {
  ParametricFit fit;
  const DataView& view = fitted.windowed.view;
  const Clusters& clusters = fitted.clusters;
  fit.problem = fitted.problem;
  fit.optimum = fitted.optimum;
  const Law& law = *fit.problem.law;
  MethodFit& report = fit.report;
  report.method = Method::kParametric;
  report.law = law.name;
  report.params_policy = view.params_policy;
  report.flops_convention = view.flops_convention;
  report.objective.name = Name(options.objective);
  if (options.objective == ObjectiveKind::kHuber) report.objective.delta = options.delta;
  report.objective.observations = static_cast<int64_t>(view.points.size());
  report.certificate = fit.optimum.certificate;
  report.refused = fit.optimum.refused;
  report.interval.method = "none";
  report.interval.cluster_by = clusters.by;
  report.interval.clusters = clusters.count;
  if (fit.optimum.refused) report.interval.reason = "the fit is refused";
  if (!fit.optimum.exists) return fit;
  report.objective.value = fit.optimum.value;
  std::vector<Quantity> quantities = LawQuantities(law);
  const size_t own = quantities.size();
  if (!fit.optimum.refused) {
    std::vector<double> budgets = options.budgets;
    double top = view.highest_flops();
    for (const double flops : options.budgets) top = std::max(top, flops);
    const double low = std::log(view.lowest_flops()), high = std::log(top);
    for (int k = 0; k < kBands; ++k) {
      budgets.push_back(std::exp(low + (high - low) * k / (kBands - 1)));
    }
    for (Quantity& quantity : BudgetQuantities(budgets, view.cost)) quantities.push_back(quantity);
  }
  const size_t trades = quantities.size();
  if (!fit.optimum.refused) AddTradeOffs(options, view.cost, quantities, fit.trade_offs);
  IntervalOptions interval;
  interval.resamples = options.resamples > 0
                           ? options.resamples
                           : std::clamp(static_cast<int>(kBootstrapPoints / view.points.size()),
                                        kFewestBootstrap, kMostBootstrap);
  interval.seed = options.seed;
  interval.threads = options.threads;
  interval.cancelled = options.cancelled;
  interval.other = fitted.later;
  const Intervals intervals =
      MakeIntervals(fit.problem, view.sample, clusters, fit.optimum, quantities, interval);
  report.interval = intervals.summary;
  for (size_t k = 0; k < own; ++k) {
    report.parameters.push_back({quantities[k].name(), intervals.estimates[k]});
  }
  for (size_t k = own; k < trades; k += 3) {
    const double flops = quantities[k].flops;
    if (fit.predictions.size() == options.budgets.size()) {
      fit.bands.push_back(
          {flops, intervals.estimates[k], intervals.estimates[k + 1], intervals.estimates[k + 2]});
      continue;
    }
    Prediction& prediction = fit.predictions.emplace_back();
    prediction.flops = flops;
    prediction.method = Method::kParametric;
    prediction.params = intervals.estimates[k];
    prediction.tokens = intervals.estimates[k + 1];
    prediction.loss = intervals.estimates[k + 2];
    prediction.decades_outside = view.DecadesOutside(flops);
  }
  size_t next = trades;
  for (TradeOff& one : fit.trade_offs) {
    for (NamedEstimate& part : one.parts) part.value = intervals.estimates[next++];
  }
  if (options.cluster == Cluster::kNone) {
    report.notes.push_back(
        "points taken as independent: too narrow where they share a run or size");
  }
  const int draws = report.interval.resamples;
  if (draws > 0 && report.interval.refits_at_bounds * 10 > draws) {
    report.notes.push_back(
        absl::StrFormat("%d of %d refits ended at a bound: the interval is not "
                        "to be trusted",
                        report.interval.refits_at_bounds, draws));
  }
  if (!view.cost.six_n_d() && !fit.optimum.refused) {
    const Quantity a{QuantityKind::kA, 0, view.cost};
    report.notes.push_back(absl::StrFormat(
        "a, b are those of C = 6 N D; under the data's C, about %.3g N^%.4f D (rms %.2g of ln C), "
        "a = %.4f, and predictions use that",
        std::exp(view.cost.log_k), view.cost.s, view.cost.rms,
        a.Value(law, view.sample, fit.optimum.theta, nullptr)));
  }
  if (law.own != nullptr && law.own->remark != nullptr && !fit.optimum.refused) {
    report.notes.push_back(law.own->remark(fit.optimum.theta));
  }
  if (!fit.optimum.refused) ListOutliers(view, fit);
  if (options.profile && !fit.optimum.refused) {
    report.profile = ProfileIntervals(fit.problem, view.sample, fit.optimum);
  }
  return fit;
}

Estimator ParametricEstimator(const WindowedView& windowed, size_t view_index,
                              const Problem& problem, const Theta& theta, const Layout& layout) {
  const DataView& view = windowed.view;
  Estimator estimator;
  estimator.method = Name(Method::kParametric);
  estimator.view = view_index;
  const std::vector<Quantity> quantities = BudgetQuantities(layout.budgets, view.cost);
  const auto read = [&view, problem, layout, quantities](const Theta& at) {
    std::vector<double> values = layout.Empty();
    for (QuantityKind kind : {QuantityKind::kA, QuantityKind::kB}) {
      const Quantity quantity{kind, 0, view.cost};
      values[kind == QuantityKind::kA ? Layout::kA : Layout::kB] =
          quantity.Value(*problem.law, view.sample, at, nullptr);
    }
    if (problem.law->has_floor) values[Layout::kFloor] = std::exp(at[kLogE]);
    for (size_t k = 0; k < quantities.size(); ++k) {
      values[Layout::kHead + k] = quantities[k].Value(*problem.law, view.sample, at, nullptr);
    }
    return values;
  };
  estimator.estimate = read(theta);
  estimator.evaluate = [&windowed, problem, theta, read](const std::vector<double>& log_loss) {
    Sample sample = windowed.view.sample;
    for (size_t k = 0; k < windowed.index.size(); ++k) {
      sample.log_loss[k] = log_loss[windowed.index[k]];
      sample.loss[k] = std::exp(sample.log_loss[k]);
    }
    return read(RefitFrom(problem, sample, theta, Box::For(sample, *problem.law)).theta);
  };
  return estimator;
}

BackTest RunBackTest(const DataView& view, const Problem& problem) {
  BackTest test;
  const double highest = view.highest_flops(), lowest = view.lowest_flops();
  // The top decade; less where a decade of C would not be left below it, but at least a factor of
  // two.
  test.cutoff_flops = highest / 10;
  if (test.cutoff_flops < 10 * lowest && 10 * lowest <= highest / 2) {
    test.cutoff_flops = 10 * lowest;
  }
  test.fitted_decades = std::log10(test.cutoff_flops / lowest);
  Sample inside;
  inside.x_center = view.sample.x_center;
  inside.y_center = view.sample.y_center;
  for (size_t i = 0; i < view.points.size(); ++i) {
    if (view.points[i].flops < test.cutoff_flops) inside.Append(view.sample, i, 1);
  }
  test.fitted = static_cast<int64_t>(inside.size());
  test.held_out = static_cast<int64_t>(view.points.size()) - test.fitted;
  const Optimum optimum = FindOptimum(problem, inside);
  if (optimum.refused) {
    test.refused = "without the top of compute: " + *optimum.refused;
    return test;
  }
  const Objective log_residual{ObjectiveKind::kLad, 0};
  double sum = 0, squares = 0, squares_inside = 0;
  for (size_t i = 0; i < view.points.size(); ++i) {
    const double r = Residual(*problem.law, log_residual, view.sample, optimum.theta, i, nullptr);
    if (view.points[i].flops < test.cutoff_flops) {
      squares_inside += r * r;
    } else {
      sum += r;
      squares += r * r;
    }
  }
  test.mean_error = sum / static_cast<double>(test.held_out);
  test.rms_error = std::sqrt(squares / static_cast<double>(test.held_out));
  test.rms_error_inside = std::sqrt(squares_inside / static_cast<double>(test.fitted));
  return test;
}

}  // namespace allometry::fitting
