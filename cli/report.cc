// allo report: the seeds' table beside ours.
#include <filesystem>
#include <iostream>
#include <map>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "base/output_file.h"
#include "cli/commands.h"
#include "cli/study_report.h"
#include "figures/html.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 300;

struct Arguments {
  std::vector<std::string> files;
  std::string html;
  bool needs = false;
};

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

class CoordinatorSource : public StudySource {
 public:
  CoordinatorSource(const Context& context, std::unique_ptr<v1::ClientService::Stub> stub)
      : context_(context), stub_(std::move(stub)) {}

  // Rows mostly ask for several numbers of one fit.
  absl::StatusOr<std::string> Fit(const sweep::StudyTerm& term) override {
    v1::FitRequest request;
    request.set_sweep(term.sweep);
    v1::FitOptions& options = *request.mutable_options();
    const bool extrapolated = term.kind == sweep::StudyQuantity::kExtrapolated;
    // The line of optima of a frontier is that of loss-compute, so all methods are fitted.
    options.set_method(extrapolated && term.method != "parametric" ? "all" : term.method);
    options.set_law(term.law);
    options.set_fixed_floor(term.floor);
    options.set_objective(term.objective);
    options.set_params_policy(term.params);
    options.set_flops_convention(term.flops);
    options.set_series(term.series);
    options.set_allow_repeat(term.allow_repeat);
    if (term.kind == sweep::StudyQuantity::kAtBudget) options.add_budgets_flops(term.at);
    options.mutable_withhold()->Assign(term.withhold.begin(), term.withhold.end());
    std::string key = request.SerializeAsString();
    if (const auto known = fits_.find(key); known != fits_.end()) return known->second;
    v1::FitResponse response;
    ALLO_RETURN_IF_ERROR(
        FromGrpc(stub_->Fit(MakeCall(context_, kTimeoutS).get(), request, &response)));
    // A sweep is drawn once, with all its methods where a row asked for all.
    std::string& figure = figures_[term.sweep];
    if (figure.empty() || options.method() == "all") figure = response.report_svg();
    return fits_.emplace(std::move(key), response.report_json()).first->second;
  }

  absl::StatusOr<std::string> Observations(const sweep::StudyTerm& term) override {
    v1::ExportRequest request;
    request.set_sweep(term.sweep);
    request.set_what("observations");
    request.set_series(term.series);
    request.set_allow_repeat(term.allow_repeat);
    const std::unique_ptr<grpc::ClientContext> call = MakeCall(context_, kTimeoutS);
    const auto reader = stub_->Export(call.get(), request);
    std::string csv;
    v1::ExportResponse piece;
    while (reader->Read(&piece)) csv += piece.csv();
    ALLO_RETURN_IF_ERROR(FromGrpc(reader->Finish()));
    return csv;
  }

  absl::StatusOr<std::string> Predictions(const std::string& sweep) override {
    v1::ListPredictionsRequest request;
    request.set_sweep(sweep);
    v1::ListPredictionsResponse response;
    ALLO_RETURN_IF_ERROR(
        FromGrpc(stub_->ListPredictions(MakeCall(context_, kTimeoutS).get(), request, &response)));
    return response.report_json();
  }

  absl::StatusOr<v1::GetSweepResponse> Sweep(const std::string& name) override {
    if (const auto known = sweeps_.find(name); known != sweeps_.end()) return known->second;
    v1::GetSweepRequest request;
    request.set_name(name);
    v1::GetSweepResponse response;
    ALLO_RETURN_IF_ERROR(
        FromGrpc(stub_->GetSweep(MakeCall(context_, kTimeoutS).get(), request, &response)));
    return sweeps_.emplace(name, std::move(response)).first->second;
  }

  absl::StatusOr<v1::GetCurvesResponse> Curves(const std::string& sweep, const std::string& series,
                                               const std::vector<int64_t>& run_ids) override {
    constexpr int kMostPixels = 10'000;
    v1::GetCurvesRequest request;
    request.set_sweep(sweep);
    request.set_series(series);
    request.set_x("steps");
    request.set_pixels(kMostPixels);
    request.mutable_run_ids()->Add(run_ids.begin(), run_ids.end());
    v1::GetCurvesResponse response;
    ALLO_RETURN_IF_ERROR(
        FromGrpc(stub_->GetCurves(MakeCall(context_, kTimeoutS).get(), request, &response)));
    return response;
  }

  // The figures of the sweeps that were fitted, by name.
  const std::map<std::string, std::string>& figures() const { return figures_; }

 private:
  const Context& context_;
  const std::unique_ptr<v1::ClientService::Stub> stub_;
  std::map<std::string, std::string> figures_;
  std::map<std::string, std::string> fits_;  // by request
  std::map<std::string, v1::GetSweepResponse> sweeps_;
};

absl::StatusOr<std::vector<sweep::Study>> ReadStudies(const std::vector<std::string>& files) {
  std::vector<sweep::Study> studies;
  for (const std::string& name : files) {
    ALLO_ASSIGN_OR_RETURN(const std::string text, ReadFile(name));
    ALLO_ASSIGN_OR_RETURN(sweep::Study study, sweep::ParseStudyFile(text, name));
    studies.push_back(std::move(study));
  }
  return studies;
}

// A line for each thing a study needs, in order: "data ARGUMENTS" for `allo data`, "first NAME" (of
// a file), "predict ARGUMENTS" for `allo predict`, "sweep NAME".
void PrintNeeds(const std::vector<sweep::Study>& studies) {
  for (const sweep::Study& study : studies) {
    for (const std::string& dataset : study.datasets) std::cout << "data " << dataset << "\n";
    for (const std::string& file : study.first) std::cout << "first " << file << "\n";
    for (const std::string& one : study.predict) std::cout << "predict " << one << "\n";
    for (const std::string& sweep : study.sweeps) std::cout << "sweep " << sweep << "\n";
  }
}

OutputOptions HtmlFile(const std::vector<std::string>& inputs) {
  return {.inputs = inputs, .kind = "a page", .beginnings = {"<!doctype html>"}};
}

std::string Titles(const std::vector<sweep::Study>& studies) {
  return absl::StrJoin(
      studies, "; ", [](std::string* out, const sweep::Study& study) { out->append(study.title); });
}

int Report(const Context& context, const Arguments& arguments) {
  const absl::StatusOr<std::vector<sweep::Study>> studies = ReadStudies(arguments.files);
  if (!studies.ok()) return Fail(studies.status());
  if (arguments.needs) {
    PrintNeeds(*studies);
    return kExitOk;
  }
  if (!arguments.html.empty()) {
    const absl::Status may = CheckOutput(arguments.html, HtmlFile(arguments.files));
    if (!may.ok()) return Fail(Annotate(may, "allo report: --html"));
  }
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  CoordinatorSource source(context, *std::move(stub));
  bool outside = false;
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  std::string text;
  for (const sweep::Study& study : *studies) {
    StudyReport report;
    report.study = study;
    for (const sweep::StudyRow& row : study.rows) {
      if (!row.term) {
        report.answers.emplace_back();
        continue;
      }
      absl::StatusOr<Answer> answer = AnswerRow(row, source);
      if (!answer.ok()) {
        return Fail(context, grpc::Status(static_cast<grpc::StatusCode>(answer.status().code()),
                                          std::string(answer.status().message())));
      }
      report.answers.push_back(*std::move(answer));
    }
    outside |= report.HasOutside();
    all.push_back(StudyJson(report));
    absl::StrAppend(&text, text.empty() ? "" : "\n", StudyText(report));
  }
  std::cout << (context.json ? all.dump(2) + "\n" : text) << std::flush;
  if (!arguments.html.empty()) {
    std::vector<figures::HtmlPart> parts = {{"", text, ""}};
    for (const auto& [sweep, svg] : source.figures()) parts.push_back({sweep, "", svg});
    const absl::Status written =
        WriteOutput(arguments.html, figures::HtmlPage("Allometry: " + Titles(*studies), parts),
                    HtmlFile(arguments.files));
    if (!written.ok()) return Fail(Annotate(written, "allo report"));
  }
  return outside ? kExitFailed : kExitOk;
}

}  // namespace

void AddReport(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "report",
      "what was published beside what the coordinator's sweeps give: quantity, paper, ours with "
      "interval, verdict; 1 when a number lies outside");
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("STUDY.yaml", arguments->files,
                   "study files (docs/study-file.md), such as sweeps/studies/*.yaml")
      ->required();
  command->add_option("--html", arguments->html,
                      "a page of its own: the table, and the figure of every sweep that it fits");
  command->add_flag(
      "--needs", arguments->needs,
      "print the datasets, predictions and sweeps that the studies need, and ask nobody");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Report(context, *arguments); };
  });
}

}  // namespace allometry::cli
