#include "fitting/report/fit.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "fitting/method/law_choice.h"
#include "fitting/method/methods.h"
#include "fitting/method/parametric.h"
#include "fitting/method/settled.h"
#include "fitting/method/window.h"
#include "fitting/report/agreement.h"
#include "fitting/report/conclusion.h"
#include "fitting/report/extrapolation.h"
#include "fitting/report/influence.h"
#include "fitting/report/picture.h"
#include "fitting/solve/parallel.h"

namespace allometry::fitting {
namespace {

constexpr int kDefaultSweeps = 200;
// Differences between methods need a parametric refit for each of the resampled sweeps.
constexpr size_t kMostResampledPoints = 50000;

bool Wants(const FitOptions& options, Method method) {
  return options.method == Method::kAll || options.method == method;
}

// `curves`: of the points in the window; none where the data are no training curves.
WindowSummary SummariseWindow(const LawFit& fit, bool chosen, size_t total,
                              const std::optional<Clusters>& curves) {
  WindowSummary summary;
  summary.window = Name(fit.window.window);
  summary.chosen = chosen;
  summary.why = fit.window.why;
  summary.points = static_cast<int64_t>(fit.windowed.index.size());
  summary.total = static_cast<int64_t>(total);
  if (fit.window.all) {
    summary.rms_of_all = fit.window.all->rms;
    summary.mean_of_all = fit.window.all->mean;
    summary.rms = fit.window.chosen->rms;
    summary.mean = fit.window.chosen->mean;
  }
  if (!curves || !fit.optimum.exists) return summary;
  const CurveStarts starts =
      ReadStarts(fit.windowed.view, *curves, *fit.problem.law, fit.optimum.theta);
  summary.settled = starts.settled;
  if (starts.curves > 0) {
    summary.start = starts.rms;
    summary.start_p = starts.p;
    summary.between_runs = starts.between;
  }
  return summary;
}

}  // namespace

// `conclude`: hold predictions against the data.
static absl::StatusOr<FitReport> FitAll(const Observations& observations, const FitOptions& asked,
                                        bool conclude);

absl::StatusOr<FitReport> Fit(const Observations& observations, const FitOptions& options) try {
  ALLO_RETURN_IF_ERROR(Validate(options));
  if (options.withhold.empty()) return FitAll(observations, options, true);
  ALLO_ASSIGN_OR_RETURN(const Withheld withheld, Withhold(observations, options.withhold));
  ALLO_ASSIGN_OR_RETURN(FitReport report, FitAll(withheld.fitted, options, true));
  FitOptions along_curves = options;
  along_curves.flops =
      report.flops_convention == "6nd" ? FlopsConvention::k6nd : FlopsConvention::kData;
  along_curves.profile = false;
  along_curves.budgets = BudgetsOf(withheld, along_curves.flops);
  ALLO_ASSIGN_OR_RETURN(const FitReport predicted, FitAll(withheld.fitted, along_curves, false));
  CurveNoise noise;
  for (const MethodFit& fit : report.fits) {
    if (fit.method == Method::kParametric && !fit.refused)
      noise = MeasureNoise(withheld.fitted, fit);
  }
  report.extrapolations = Extrapolate(withheld, along_curves.flops, predicted.predictions, noise);
  // What was withheld shows in the report, so it is part of the id.
  std::string all = absl::StrCat(report.fit_id, absl::StrJoin(options.withhold, ","));
  for (const auto& [family, curve] : withheld.curves) {
    for (const Observation& point : curve) {
      absl::StrAppendFormat(&all, " %.17g %.17g %.17g", point.params, point.tokens, point.loss);
    }
  }
  report.fit_id = HashHex(all);
  return report;
} catch (const FitCancelled&) {
  return absl::CancelledError("the fit was given up: nobody waits for it any more");
}

static absl::StatusOr<FitReport> FitAll(const Observations& observations, const FitOptions& asked,
                                        bool conclude) {
  if (observations.used() == 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "no observations to fit: 0 of %d used%s%s", observations.total(),
        observations.exclusions().empty() ? "" : ", the first excluded because: ",
        observations.exclusions().empty() ? "" : observations.exclusions().front().reason));
  }
  const Views views = MakeViews(observations, asked, asked.method == Method::kAll);
  const DataView& base = views.all.front();
  FitReport report;
  report.fit_id = FitId(views, observations, asked);
  report.used = observations.used();
  report.total = observations.total();
  report.exclusions = observations.exclusions();
  report.notes = observations.notes();
  report.read = observations.read;
  report.params_policy = base.params_policy;
  report.flops_convention = base.flops_convention;

  FitOptions options = asked;
  report.default_budgets = options.budgets.empty();
  if (report.default_budgets) {
    options.budgets = {10 * base.highest_flops()};
  }
  const Layout layout{options.budgets};
  // What the law is asked to explain, under every convention the same points.
  WindowedView first = Restrict(base, {WindowKind::kAll, 0});
  std::optional<LawFit> fitted;  // under the report's conventions
  if (Wants(options, Method::kParametric)) {
    LawChoice choice = ChooseLaw(base, views.clusters, options);
    fitted = std::move(choice.fit);
    if (!choice.why.empty()) report.notes.push_back(choice.why);
    first = fitted->windowed;
    std::optional<Clusters> curves;
    if (MostlyCurves(base)) curves = Restrict(views.curves, first.index);
    report.window = SummariseWindow(*fitted, options.window.kind == WindowKind::kAuto,
                                    base.points.size(), curves);
    if (first.index.empty()) {
      return absl::InvalidArgumentError(absl::StrFormat("window %s leaves none of the %d points",
                                                        report.window->window, report.used));
    }
  }
  std::vector<WindowedView> windows;
  windows.reserve(views.all.size());  // estimators point into it
  windows.push_back(std::move(first));
  for (size_t v = 1; v < views.all.size(); ++v) {
    windows.push_back(Restrict(views.all[v], windows.front().index));
  }
  std::vector<Estimator> estimators;
  std::vector<CurveFit> curve_fits;  // of the report's view
  std::optional<ParametricFit> parametric;
  const bool small = base.points.size() <= kMostResampledPoints;
  for (size_t v = 0; v < views.all.size(); ++v) {
    const DataView& view = views.all[v];
    ThrowIf(options.cancelled);
    if (Wants(options, Method::kParametric)) {
      const Problem& own = fitted->problem;
      if (v == 0) parametric = FitParametric(*fitted, options);
      const Optimum optimum = v == 0 ? fitted->optimum : FindOptimum(own, windows[v].view.sample);
      if (!optimum.refused && options.method == Method::kAll && small) {
        estimators.push_back(ParametricEstimator(windows[v], v, own, optimum.theta, layout));
      }
    }
    std::vector<CurveFit> found;
    for (size_t row = 0; row < CurveMethods().size(); ++row) {
      if (!Wants(options, MethodOf(row))) continue;
      found.push_back(CurveMethods()[row].fit(view, v, views.curves, options, layout));
    }
    for (const CurveFit& fit : found) {
      if (fit.estimator && !fit.report.refused) estimators.push_back(*fit.estimator);
    }
    if (v == 0) curve_fits = std::move(found);
  }

  std::vector<SweepModel> models(views.all.size());
  const bool curves_matter =
      std::any_of(estimators.begin(), estimators.end(),
                  [](const Estimator& e) { return e.method != Name(Method::kParametric); }) ||
      estimators.size() > 1;
  if (curves_matter) {
    for (size_t v = 0; v < views.all.size(); ++v) {
      models[v] = MakeSweepModel(views.all[v], windows[v], views.curves);
      if (views.curves.count < kFewestClusters && models[v].unusable.empty()) {
        models[v].unusable = absl::StrFormat("%d curves: at least %d are needed",
                                             views.curves.count, kFewestClusters);
      }
    }
    const int sweeps = options.resamples > 0 ? options.resamples : kDefaultSweeps;
    ResampleSweeps(models, views.curves, sweeps, options.seed, options.threads, options.cancelled,
                   estimators);
  } else {
    for (SweepModel& model : models) model.unusable = "nothing to resample";
  }

  ThrowIf(options.cancelled);
  if (parametric) {
    report.fits.push_back(parametric->report);
    report.predictions = parametric->predictions;
    report.trade_offs = parametric->trade_offs;
    report.back_test = RunBackTest(windows[0].view, parametric->problem);
    report.influence = FindInfluence(windows[0].view, *parametric);
    const LackOfFit& lack = fitted->lack;
    if (!lack.contrasts.empty()) {
      report.lack_of_fit = LackOfFitSummary{lack.p, lack.Rejected(), lack.worst, lack.share};
    }
  }
  for (CurveFit& fit : curve_fits) {
    for (const Estimator& drawn : estimators) {
      if (fit.estimator && drawn.view == 0 && drawn.method == fit.estimator->method) {
        fit.estimator->draws = drawn.draws;
      }
    }
    FinishCurveFit(models.front(), views.curves, layout, fit);
    report.fits.push_back(fit.report);
    report.predictions.insert(report.predictions.end(), fit.predictions.begin(),
                              fit.predictions.end());
  }
  std::stable_sort(report.predictions.begin(), report.predictions.end(),
                   [](const Prediction& a, const Prediction& b) { return a.flops < b.flops; });
  if (options.method == Method::kAll) {
    report.agreement = MakeAgreement(views.all, models, estimators, layout);
    ShowOneInterval(report);
    if (!small) {
      report.notes.push_back(absl::StrFormat(
          "no parametric row in the agreement: %d points are too many to refit %d sweeps",
          report.used, options.resamples > 0 ? options.resamples : kDefaultSweeps));
    }
  }
  if (conclude) Conclude(base, parametric ? parametric->robust_sd : 0, report);
  report.picture = MakePicture({base, views.curves, windows.front(),
                                parametric ? &*parametric : nullptr, curve_fits, models.front().df},
                               report);
  return report;
}

absl::StatusOr<Score> ScorePrediction(const Prediction& prediction, const Observation& realised) {
  const double flops = realised.compute();
  if (!(flops > 0) || !(realised.loss > 0) || !std::isfinite(realised.loss)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the run has C = %g and loss %g: positive finite numbers are needed", flops,
                        realised.loss));
  }
  if (std::abs(std::log(flops / prediction.flops)) > std::log(1.1)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the run's C = %.4g is not within 10 %% of the prediction's %.4g", flops,
                        prediction.flops));
  }
  if (!prediction.loss.estimate) {
    return absl::InvalidArgumentError(absl::StrFormat("method %s predicted no loss at C = %.4g",
                                                      Name(prediction.method), prediction.flops));
  }
  Score score;
  if (prediction.params.estimate) {
    score.log10_params = std::log10(realised.params / *prediction.params.estimate);
  }
  if (prediction.tokens.estimate) {
    score.log10_tokens = std::log10(realised.tokens / *prediction.tokens.estimate);
  }
  score.loss_error = realised.loss - *prediction.loss.estimate;
  if (prediction.loss.lower && prediction.loss.upper) {
    score.loss_inside =
        realised.loss >= *prediction.loss.lower && realised.loss <= *prediction.loss.upper;
  }
  return score;
}

}  // namespace allometry::fitting
