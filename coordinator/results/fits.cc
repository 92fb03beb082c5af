#include "coordinator/results/fits.h"

#include <google/protobuf/util/json_util.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/results/fit_request.h"
#include "coordinator/results/observations.h"
#include "figures/fit_figure.h"
#include "fitting/report/fit.h"

namespace allometry::coordinator {
namespace {

absl::StatusOr<GatheredObservations> Gather(const store::Store& store, const std::string& sweep,
                                            const v1::FitOptions& options) {
  ALLO_ASSIGN_OR_RETURN(GatheredObservations gathered,
                        GatherObservations(store, sweep, ToObservationChoice(options)));
  if (gathered.points.used() > 0) return gathered;
  std::vector<std::string> reasons;
  for (const fitting::Exclusion& excluded : gathered.points.exclusions()) {
    reasons.push_back(absl::StrFormat("%s (%d points)", excluded.reason, excluded.points));
  }
  return absl::FailedPreconditionError(
      reasons.empty()
          ? absl::StrFormat("sweep '%s' has no evaluation after the warm-up yet: nothing to fit",
                            sweep)
          : absl::StrFormat("sweep '%s' has nothing that a fit may read: %s", sweep,
                            absl::StrJoin(reasons, "; ")));
}

std::string Number(const std::optional<double>& value) {
  return value.has_value() ? absl::StrFormat("%.17g", *value) : "null";
}

std::string EstimateJson(const fitting::Estimate& estimate) {
  return absl::StrFormat("{\"estimate\":%s,\"lower\":%s,\"upper\":%s}", Number(estimate.estimate),
                         Number(estimate.lower), Number(estimate.upper));
}

std::vector<store::Prediction> ToRows(const std::vector<fitting::Prediction>& predictions) {
  std::vector<store::Prediction> rows;
  for (const fitting::Prediction& prediction : predictions) {
    store::Prediction& row = rows.emplace_back();
    row.method = fitting::Name(prediction.method);
    row.flops = prediction.flops;
    row.params = prediction.params.estimate.value_or(0);
    row.tokens = prediction.tokens.estimate.value_or(0);
    row.loss = prediction.loss.estimate.value_or(0);
    row.report_json = absl::StrFormat(
        "{\"method\":\"%s\",\"flops\":%.17g,\"params\":%s,\"tokens\":%s,\"loss\":%s,"
        "\"decades_outside\":%.17g}",
        fitting::Name(prediction.method), prediction.flops, EstimateJson(prediction.params),
        EstimateJson(prediction.tokens), EstimateJson(prediction.loss), prediction.decades_outside);
  }
  return rows;
}

// Fits, and stores the fit as of this kind; without one it is not stored.
absl::StatusOr<fitting::FitReport> FitAndRecord(store::Store& store, const std::string& sweep,
                                                const v1::FitOptions& request,
                                                std::optional<store::FitKind> kind,
                                                const IsGone& is_gone) {
  ALLO_ASSIGN_OR_RETURN(fitting::FitOptions options, ToFitOptions(request));
  ALLO_ASSIGN_OR_RETURN(const GatheredObservations gathered, Gather(store, sweep, request));
  options.cancelled = is_gone;
  options.flops = gathered.flops_convention == run::FlopsConvention::kExact
                      ? fitting::FlopsConvention::kData
                      : fitting::FlopsConvention::k6nd;
  ALLO_ASSIGN_OR_RETURN(fitting::FitReport report, fitting::Fit(gathered.points, options));

  if (!kind) return report;
  store::Fit row;
  row.fit_id = report.fit_id;
  row.sweep_id = gathered.sweep.sweep_id();
  row.kind = *kind;
  google::protobuf::util::JsonPrintOptions print;
  print.preserve_proto_field_names = true;
  const auto printed =
      google::protobuf::util::MessageToJsonString(request, &row.options_json, print);
  if (!printed.ok()) return absl::InternalError(std::string(printed.message()));
  row.report_json = fitting::ReportJson(report);
  row.report_text = fitting::ReportText(report);
  row.version = absl::StrCat("fitting ", fitting::kFitVersion);
  // What nobody asked for is no prediction to be scored later.
  ALLO_RETURN_IF_ERROR(store.RecordFit(
      row, report.default_budgets ? std::vector<store::Prediction>() : ToRows(report.predictions)));
  return report;
}

}  // namespace

absl::StatusOr<v1::FitResponse> FitSweep(store::Store& store, const v1::FitRequest& request,
                                         const IsGone& is_gone) {
  ALLO_ASSIGN_OR_RETURN(
      const fitting::FitReport report,
      FitAndRecord(store, request.sweep(), request.options(),
                   request.dry_run() ? std::nullopt : std::optional(store::FitKind::kFit),
                   is_gone));
  v1::FitResponse response;
  response.set_fit_id(report.fit_id);
  response.set_report_json(fitting::ReportJson(report));
  response.set_report_text(fitting::ReportText(report));
  const figures::Drawing drawing = figures::DrawFit(report, request.sweep());
  response.set_report_svg(figures::ToSvg(drawing));
  if (request.pdf()) response.set_report_pdf(figures::ToPdf(drawing));
  return response;
}

absl::StatusOr<v1::PredictResponse> PredictSweep(store::Store& store,
                                                 const v1::PredictRequest& request,
                                                 const IsGone& is_gone) {
  if (request.options().budgets_flops().empty() && request.options().withhold().empty()) {
    return absl::InvalidArgumentError(
        "a prediction needs a budget in FLOPs, for example 3e14, or sizes to withhold and predict");
  }
  ALLO_ASSIGN_OR_RETURN(
      const fitting::FitReport report,
      FitAndRecord(store, request.sweep(), request.options(), store::FitKind::kPredict, is_gone));
  v1::PredictResponse response;
  response.set_fit_id(report.fit_id);
  response.set_report_json(fitting::ReportJson(report));
  response.set_report_text(fitting::ReportText(report));
  return response;
}

}  // namespace allometry::coordinator
