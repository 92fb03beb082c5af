#include "fitting/method/curve_fit.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "absl/strings/str_format.h"
#include "fitting/method/isoflop.h"

namespace allometry::fitting {
namespace {

constexpr double kFewDecades = 3;  // of C, below which E and c are not told apart

std::vector<double> ReadPowerLaws(const FrontierResult& result, const Layout& layout) {
  std::vector<double> values = layout.Empty();
  if (!result.laws) return values;
  values[Layout::kA] = result.laws->a;
  values[Layout::kB] = result.laws->b;
  for (size_t k = 0; k < layout.budgets.size(); ++k) {
    const double log_flops = std::log(layout.budgets[k]);
    values[layout.LogParams(k)] = result.laws->log_params_at_one + result.laws->a * log_flops;
    values[layout.LogTokens(k)] = result.laws->log_tokens_at_one + result.laws->b * log_flops;
  }
  return values;
}

std::vector<double> ReadLossCompute(const LossCompute& fit, const Layout& layout) {
  std::vector<double> values = layout.Empty();
  values[Layout::kFloor] = fit.floor;
  values[Layout::kExponent] = fit.exponent;
  values[Layout::kExcess] = fit.excess;
  for (size_t k = 0; k < layout.budgets.size(); ++k) {
    values[layout.Loss(k)] = fit.Loss(layout.budgets[k]);
  }
  return values;
}

// Fills what frontier and isoFLOP have in common.
template <class Plan>
CurveFit Start(Method method, const DataView& view, size_t view_index,
               std::shared_ptr<const Plan> plan, const Layout& layout) {
  CurveFit fit;
  fit.frontier = plan->Evaluate(view.sample.log_loss);
  MethodFit& report = fit.report;
  report.method = method;
  report.law = "power-law";
  report.params_policy = view.params_policy;
  report.flops_convention = view.flops_convention;
  report.objective.name = "lsq of ln N* over ln C";
  report.objective.observations = static_cast<int64_t>(fit.frontier.points.size());
  if (!fit.frontier.laws) {
    report.refused = fit.frontier.refused;
    return fit;
  }
  const double n = static_cast<double>(fit.frontier.points.size());
  report.objective.value = n * fit.frontier.laws->rms * fit.frontier.laws->rms;
  const double low = fit.frontier.points.front().log_flops;
  const double high = fit.frontier.points.back().log_flops;
  const double middle = 0.5 * (low + high);
  report.notes.push_back(absl::StrFormat(
      "minima from C = %.2e to %.2e (%.1f decades); N* = %.3e at C = %.2e", std::exp(low),
      std::exp(high), (high - low) / std::log(10.0),
      std::exp(fit.frontier.laws->log_params_at_one + fit.frontier.laws->a * middle),
      std::exp(middle)));
  Estimator estimator;
  estimator.method = Name(method);
  estimator.view = view_index;
  estimator.estimate = ReadPowerLaws(fit.frontier, layout);
  estimator.evaluate = [plan, layout](const std::vector<double>& log_loss) {
    return ReadPowerLaws(plan->Evaluate(log_loss), layout);
  };
  fit.estimator = std::move(estimator);
  return fit;
}

Estimate WithBounds(double value, std::optional<double> half, double df, bool logarithmic) {
  Estimate estimate;
  const auto shown = [&](double q) { return logarithmic ? std::exp(q) : q; };
  if (!std::isfinite(value)) return estimate;
  estimate.estimate = shown(value);
  if (half) {
    estimate.lower = shown(value - *half);
    estimate.upper = shown(value + *half);
    estimate.df = df;
  }
  return estimate;
}

}  // namespace

CurveFit FitFrontier(const DataView& view, size_t view_index, const Clusters& curves,
                     Minimum minimum, const Layout& layout) {
  const auto plan = std::make_shared<const FrontierPlan>(view, curves, minimum);
  CurveFit fit = Start(Method::kFrontier, view, view_index, plan, layout);
  if (fit.report.refused) return fit;
  if (minimum != Minimum::kParabola) {
    fit.report.notes.push_back("minimum by " + Name(minimum) + ", not by the default parabola");
  } else if (fit.frontier.widest < 5) {
    fit.report.notes.push_back(
        absl::StrFormat("parabolas through %d sizes only: five have two on each side too seldom",
                        fit.frontier.widest));
  }
  return fit;
}

CurveFit FitIsoflop(const DataView& view, size_t view_index, const Clusters& curves,
                    const Layout& layout) {
  const auto plan = std::make_shared<const IsoflopPlan>(view, curves);
  CurveFit fit = Start(Method::kIsoflop, view, view_index, plan, layout);
  if (fit.report.refused) return fit;
  fit.report.notes.push_back(
      plan->groups() > 0
          ? absl::StrFormat("minima of %d budgets, each of a curve of L over ln N through the best "
                            "size and three to each side",
                            plan->groups())
          : absl::StrFormat("no common budgets in the data: %d laid over the curves",
                            fit.frontier.points.size()));
  return fit;
}

CurveFit FitLossOverCompute(const DataView& view, size_t view_index, const Clusters& curves,
                            Minimum minimum, const Layout& layout) {
  // The frontier's minima, or where the data has budgets but no curves those of the parabolas.
  std::function<FrontierResult(const std::vector<double>&)> trace;
  const auto frontier = std::make_shared<const FrontierPlan>(view, curves, minimum);
  trace = [frontier](const std::vector<double>& log_loss) { return frontier->Evaluate(log_loss); };
  CurveFit fit;
  fit.frontier = trace(view.sample.log_loss);
  MethodFit& report = fit.report;
  report.method = Method::kLossCompute;
  report.law = "loss-compute";
  report.params_policy = view.params_policy;
  report.flops_convention = view.flops_convention;
  report.objective.name = "lsq";
  if (!fit.frontier.laws) {
    const std::string refused = fit.frontier.refused;
    const auto isoflop = std::make_shared<const IsoflopPlan>(view, curves);
    trace = [isoflop](const std::vector<double>& log_loss) { return isoflop->Evaluate(log_loss); };
    fit.frontier = trace(view.sample.log_loss);
    if (!fit.frontier.laws) {
      report.refused = "no frontier: " + refused;
      return fit;
    }
    report.notes.push_back("through the minima of the isoFLOP parabolas: there is no frontier");
  }
  report.objective.observations = static_cast<int64_t>(fit.frontier.points.size());
  fit.loss_compute = FitLossCompute(fit.frontier.points);
  const LossCompute& law = fit.loss_compute;
  report.refused = law.refused;
  if (!law.solved) return fit;
  report.objective.value = law.value;
  report.certificate.gradient_norm = law.gradient_norm;
  report.certificate.starts = law.starts;
  report.certificate.starts_at_optimum = law.starts_at_optimum;
  report.certificate.active_bounds = law.active_bounds;
  report.certificate.condition_number = law.condition_number;
  const double decades =
      (fit.frontier.points.back().log_flops - fit.frontier.points.front().log_flops) /
      std::log(10.0);
  report.notes.push_back(absl::StrFormat("L = E + excess (C / %.6e)^-c over %.1f decades of C",
                                         std::exp(law.log_reference), decades));
  if (decades < kFewDecades) {
    report.notes.push_back(absl::StrFormat(
        "E and c are not told apart over %.1f decades of C: read them together, or not at all",
        decades));
  }
  Estimator estimator;
  estimator.method = Name(Method::kLossCompute);
  estimator.view = view_index;
  estimator.estimate = ReadLossCompute(law, layout);
  const double reference = law.log_reference;
  estimator.evaluate = [trace, layout, reference](const std::vector<double>& log_loss) {
    const FrontierResult points = trace(log_loss);
    if (!points.laws) return layout.Empty();
    const LossCompute refit = FitLossCompute(points.points, reference);
    return refit.solved ? ReadLossCompute(refit, layout) : layout.Empty();
  };
  fit.estimator = std::move(estimator);
  return fit;
}

void FinishCurveFit(const SweepModel& model, const Clusters& curves, const Layout& layout,
                    CurveFit& fit) {
  MethodFit& report = fit.report;
  IntervalSummary& interval = report.interval;
  interval.method = "none";
  interval.cluster_by = curves.by;
  interval.clusters = curves.count;
  if (!fit.estimator) {
    interval.reason = "the fit is refused";
    return;
  }
  const Estimator& estimator = *fit.estimator;
  if (report.refused) {
    interval.reason = "the fit is refused";
  } else if (curves.count < kFewestClusters) {
    interval.reason =
        absl::StrFormat("%d curves: at least %d are needed", curves.count, kFewestClusters);
  } else if (!model.unusable.empty()) {
    interval.reason = model.unusable;
  }
  const bool wanted = interval.reason.empty() && !estimator.draws.empty();
  if (wanted) {
    interval.method = "sign-flipped curve errors, t with the parametric a's df";
    interval.resamples = static_cast<int>(estimator.draws.size());
    interval.intraclass_correlation = model.intraclass_correlation;
  }
  bool missing = false;
  const auto at = [&](int k, bool logarithmic) {
    std::optional<double> half;
    if (wanted) half = HalfWidth(estimator, k, model.df);
    missing |= wanted && !half;
    return WithBounds(estimator.estimate[k], half, model.df, logarithmic);
  };
  if (report.method == Method::kLossCompute) {
    report.parameters.push_back({"E", at(Layout::kFloor, false)});
    report.parameters.push_back({"c", at(Layout::kExponent, false)});
    report.parameters.push_back({"excess", at(Layout::kExcess, false)});
    Estimate reference;
    reference.estimate = std::exp(fit.loss_compute.log_reference);
    report.parameters.push_back({"reference_flops", reference});
  } else {
    report.parameters.push_back({"a", at(Layout::kA, false)});
    report.parameters.push_back({"b", at(Layout::kB, false)});
    Estimate sum;
    sum.estimate = estimator.estimate[Layout::kA] + estimator.estimate[Layout::kB];
    report.parameters.push_back({"a_plus_b", sum});
  }
  for (size_t k = 0; k < layout.budgets.size() && !report.refused; ++k) {
    Prediction prediction;
    prediction.flops = layout.budgets[k];
    prediction.method = report.method;
    if (report.method == Method::kLossCompute) {
      prediction.loss = at(layout.Loss(k), false);
    } else {
      prediction.params = at(layout.LogParams(k), true);
      prediction.tokens = at(layout.LogTokens(k), true);
    }
    // Beyond the minima that the method rests on, not beyond the data.
    const double at = std::log(prediction.flops);
    const std::vector<FrontierPoint>& used = fit.frontier.points;
    prediction.decades_outside =
        std::max({0.0, at - used.back().log_flops, used.front().log_flops - at}) / std::log(10.0);
    fit.predictions.push_back(prediction);
  }
  if (missing) {
    interval.reason = "more than a tenth of the resampled sweeps have no such fit";
  }
}

}  // namespace allometry::fitting
