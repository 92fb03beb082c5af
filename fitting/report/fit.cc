#include "fitting/report/fit.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "fitting/method/curve_fit.h"
#include "fitting/method/parametric.h"
#include "fitting/report/agreement.h"
#include "fitting/report/extrapolation.h"
#include "fitting/report/influence.h"
#include "fitting/report/picture.h"

namespace allometry::fitting {
namespace {

constexpr int kDefaultSweeps = 200;
// Differences between methods need a parametric refit for each of the resampled sweeps.
constexpr size_t kMostResampledPoints = 50000;

bool Wants(const FitOptions& options, Method method) {
  return options.method == Method::kAll || options.method == method;
}

}  // namespace

static absl::StatusOr<FitReport> FitAll(const Observations& observations,
                                        const FitOptions& options);

const Estimate* MethodFit::Find(absl::string_view name) const {
  for (const NamedEstimate& parameter : parameters) {
    if (parameter.name == name) return &parameter.value;
  }
  return nullptr;
}

absl::StatusOr<FitReport> Fit(const Observations& observations, const FitOptions& options) {
  ALLO_RETURN_IF_ERROR(Validate(options));
  if (options.withhold.empty()) return FitAll(observations, options);
  ALLO_ASSIGN_OR_RETURN(const Withheld withheld, Withhold(observations, options.withhold));
  ALLO_ASSIGN_OR_RETURN(FitReport report, FitAll(withheld.fitted, options));
  FitOptions along_curves = options;
  along_curves.flops =
      report.flops_convention == "6nd" ? FlopsConvention::k6nd : FlopsConvention::kData;
  along_curves.profile = false;
  along_curves.budgets = BudgetsOf(withheld, along_curves.flops);
  ALLO_ASSIGN_OR_RETURN(const FitReport predicted, FitAll(withheld.fitted, along_curves));
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
}

static absl::StatusOr<FitReport> FitAll(const Observations& observations,
                                        const FitOptions& options) {
  if (observations.used() == 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "no observations to fit: 0 of %d used%s%s", observations.total(),
        observations.exclusions().empty() ? "" : ", the first excluded because: ",
        observations.exclusions().empty() ? "" : observations.exclusions().front().reason));
  }
  const Views views = MakeViews(observations, options, options.method == Method::kAll);
  const DataView& base = views.all.front();
  FitReport report;
  report.fit_id = FitId(views, observations, options);
  report.used = observations.used();
  report.total = observations.total();
  report.exclusions = observations.exclusions();
  report.notes = observations.notes();
  report.read = observations.read;
  report.params_policy = base.params_policy;
  report.flops_convention = base.flops_convention;

  const Layout layout{options.budgets};
  std::vector<Estimator> estimators;
  std::vector<CurveFit> curve_fits;  // of the report's view
  std::optional<ParametricFit> parametric;
  const bool small = base.points.size() <= kMostResampledPoints;
  for (size_t v = 0; v < views.all.size(); ++v) {
    const DataView& view = views.all[v];
    if (Wants(options, Method::kParametric)) {
      Problem problem{
          &FindLaw(options.law), {options.objective, options.delta}, options.fixed_floor};
      Optimum optimum;
      if (v == 0) {
        parametric = FitParametric(view, views.clusters, options);
        problem = parametric->problem;
        optimum = parametric->optimum;
      } else {
        optimum = FindOptimum(problem, view.sample);
      }
      if (!optimum.refused && options.method == Method::kAll && small) {
        estimators.push_back(ParametricEstimator(view, v, problem, optimum.theta, layout));
      }
    }
    std::vector<CurveFit> found;
    if (Wants(options, Method::kFrontier)) {
      found.push_back(FitFrontier(view, v, views.curves, options.minimum, layout));
    }
    if (Wants(options, Method::kIsoflop)) {
      found.push_back(FitIsoflop(view, v, views.curves, layout));
    }
    if (Wants(options, Method::kLossCompute)) {
      found.push_back(FitLossOverCompute(view, v, views.curves, options.minimum, layout));
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
      models[v] = MakeSweepModel(views.all[v], views.curves);
      if (views.curves.count < kFewestClusters && models[v].unusable.empty()) {
        models[v].unusable = absl::StrFormat("%d curves: at least %d are needed",
                                             views.curves.count, kFewestClusters);
      }
    }
    const int sweeps = options.resamples > 0 ? options.resamples : kDefaultSweeps;
    ResampleSweeps(models, views.curves, sweeps, options.seed, options.threads, estimators);
  } else {
    for (SweepModel& model : models) model.unusable = "nothing to resample";
  }

  if (parametric) {
    report.fits.push_back(parametric->report);
    report.predictions = parametric->predictions;
    report.back_test = RunBackTest(base, parametric->problem);
    report.influence = FindInfluence(base, *parametric);
  }
  for (CurveFit& fit : curve_fits) {
    for (const Estimator& drawn : estimators) {
      if (fit.estimator && drawn.view == 0 && drawn.method == fit.estimator->method) {
        fit.estimator->draws = drawn.draws;
      }
    }
    FinishCurveFit(base, models.front(), views.curves, layout, fit);
    report.fits.push_back(fit.report);
    report.predictions.insert(report.predictions.end(), fit.predictions.begin(),
                              fit.predictions.end());
  }
  std::stable_sort(report.predictions.begin(), report.predictions.end(),
                   [](const Prediction& a, const Prediction& b) { return a.flops < b.flops; });
  if (options.method == Method::kAll) {
    report.agreement = MakeAgreement(views.all, models, estimators, layout);
    if (!small) {
      report.notes.push_back(absl::StrFormat(
          "no parametric row in the agreement: %d points are too many to refit %d sweeps",
          report.used, options.resamples > 0 ? options.resamples : kDefaultSweeps));
    }
  }
  report.picture = MakePicture(base, parametric ? &*parametric : nullptr, curve_fits);
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
