// What /api/ says about fits: reports, pictures, comparisons, predictions.
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fitting/data/csv.h"
#include "fitting/report/compare.h"
#include "web/api_calls.h"
#include "web/json_text.h"

namespace allometry::web {
namespace {

constexpr int kFitS = 900;

class FitApi : public ApiCalls {
 public:
  using ApiCalls::ApiCalls;

  void Fit(const Request& request, Response& response) const {
    v1::FitResponse answer;
    if (!ReadFit(request, &answer, response)) return;
    std::string json = "{\"fit_id\":";
    AppendText(json, answer.fit_id());
    absl::StrAppend(&json, ",\"report\":", answer.report_json(), ",\"text\":");
    AppendText(json, answer.report_text());
    json += '}';
    Send(std::move(json), response);
  }
  void FitSvg(const Request& request, Response& response) const {
    v1::FitResponse answer;
    if (!ReadFit(request, &answer, response)) return;
    SendFile(answer.report_svg(), "image/svg+xml", Name(request) + "-fit.svg", response);
  }
  void Compare(const Request& request, Response& response) const {
    const std::string names[2] = {request.get_param_value("a"), request.get_param_value("b")};
    fitting::Observations observations[2];
    for (int i = 0; i < 2; ++i) {
      if (!ReadObservations(names[i], &observations[i], response)) return;
    }
    const absl::StatusOr<fitting::Comparison> comparison =
        fitting::Compare(observations[0], observations[1], {}, /*paired=*/false);
    if (!comparison.ok()) return SendRefused(FromAbsl(comparison.status()), response);
    Send(fitting::CompareJson(*comparison, names[0], names[1]), response);
  }
  void Predictions(const Request& request, Response& response) const {
    v1::ListPredictionsRequest list;
    list.set_sweep(Name(request));
    v1::ListPredictionsResponse answer;
    if (!Call(&Stub::ListPredictions, list, &answer, response)) return;
    std::string json = absl::StrCat("{\"predictions\":", answer.report_json(), ",\"text\":");
    AppendText(json, answer.report_text());
    json += '}';
    Send(std::move(json), response);
  }

 private:
  bool ReadFit(const Request& request, v1::FitResponse* answer, Response& response) const {
    v1::FitRequest fit;
    fit.set_sweep(Name(request));
    fit.set_dry_run(true);  // to look at a page changes nothing
    v1::FitOptions& options = *fit.mutable_options();
    options.set_method(request.get_param_value("method"));
    options.set_law(request.get_param_value("law"));
    options.set_series(request.get_param_value("series"));
    for (const absl::string_view text :
         absl::StrSplit(request.get_param_value("budgets"), ',', absl::SkipEmpty())) {
      double flops = 0;
      if (!absl::SimpleAtod(text, &flops) || !(flops > 0)) {
        Refuse({grpc::StatusCode::INVALID_ARGUMENT,
                absl::StrCat("budgets has '", text, "': FLOPs, as 1e18,1e19")},
               response);
        return false;
      }
      options.add_budgets_flops(flops);
    }
    grpc::ClientContext context;
    Prepare(context, kFitS);
    const grpc::Status status = stub_.Fit(&context, fit, answer);
    if (!status.ok()) SendRefused(status, response);
    return status.ok();
  }

  bool ReadObservations(const std::string& sweep, fitting::Observations* observations,
                        Response& response) const {
    v1::ExportRequest exported;
    exported.set_sweep(sweep);
    exported.set_what("observations");
    grpc::ClientContext context;
    Prepare(context, kShortS);
    const auto reader = stub_.Export(&context, exported);
    std::string csv;
    for (v1::ExportResponse piece; reader->Read(&piece);) csv += piece.csv();
    if (const grpc::Status status = reader->Finish(); !status.ok()) {
      Refuse(status, response);
      return false;
    }
    absl::StatusOr<fitting::Observations> read =
        fitting::ParseCsv(csv, sweep, fitting::OwnExport());
    if (!read.ok()) {
      Refuse(FromAbsl(read.status()), response);
      return false;
    }
    *observations = *std::move(read);
    return true;
  }
};

}  // namespace

void AddFitApi(httplib::Server& server, const Options& options, ApiCalls::Stub& coordinator) {
  const auto api = std::make_shared<const FitApi>(options, coordinator);
  const auto get = [&](const char* path,
                       void (FitApi::*answer)(const httplib::Request&, httplib::Response&) const) {
    server.Get(absl::StrCat("/api/", path),
               [api, answer](const httplib::Request& request, httplib::Response& response) {
                 ((*api).*answer)(request, response);
               });
  };
  get("fit", &FitApi::Fit);
  get(R"(fit\.svg)", &FitApi::FitSvg);
  get("compare", &FitApi::Compare);
  get("predictions", &FitApi::Predictions);
}

}  // namespace allometry::web
