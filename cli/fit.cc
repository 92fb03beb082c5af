// allo fit, allo compare, allo predict.
#include "fitting/report/fit.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "base/output_file.h"
#include "cli/answer_table.h"
#include "cli/commands.h"
#include "cli/fit_file.h"
#include "cli/format.h"
#include "cli/sweep_observations.h"
#include "cli/ticker.h"
#include "fitting/data/csv.h"
#include "fitting/law/law_names.h"
#include "fitting/report/compare.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 300;

int FitSweep(const Context& context, const std::string& sweep, const v1::FitOptions& options,
             const FigureFiles& figure, std::optional<TableFormat> table) {
  if (const absl::Status may = CheckFigureFiles(figure, {}); !may.ok()) {
    return Fail(Annotate(may, "allo"));
  }
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::FitRequest request;
  request.set_sweep(sweep);
  *request.mutable_options() = options;
  request.set_pdf(!figure.pdf.empty());
  v1::FitResponse response;
  std::optional<Ticker> ticker;
  ticker.emplace("allo fit", "the coordinator fits " + sweep);
  const grpc::Status status = (*stub)->Fit(MakeCall(context, kTimeoutS).get(), request, &response);
  ticker.reset();
  if (!status.ok()) return Fail(context, status);
  std::cout << (table          ? AnswerTable(nlohmann::json::parse(response.report_json()), *table)
                : context.json ? response.report_json()
                               : response.report_text())
            << std::flush;
  const absl::Status written = WriteFigureFiles(
      figure, {sweep, response.report_text(), response.report_svg(), response.report_pdf()}, {});
  return written.ok() ? kExitOk : Fail(Annotate(written, "allo"));
}

int PredictSweep(const Context& context, const std::string& sweep, const v1::FitOptions& options) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::PredictRequest request;
  request.set_sweep(sweep);
  *request.mutable_options() = options;
  v1::PredictResponse response;
  std::optional<Ticker> ticker;
  ticker.emplace("allo predict", "the coordinator fits " + sweep);
  const grpc::Status status =
      (*stub)->Predict(MakeCall(context, kTimeoutS).get(), request, &response);
  ticker.reset();
  if (!status.ok()) return Fail(context, status);
  std::cout << (context.json ? response.report_json() : response.report_text()) << std::flush;
  return kExitOk;
}

struct Arguments {
  std::string target;
  std::string other;  // of compare: the second
  bool paired = false;
  std::string method = "all", law = "auto", objective = "huber", cluster = "params";
  std::string window = "auto", minimum = "parabola", flops, params, series, table, budgets,
              withhold;
  FigureFiles figure;
  double delta = 1e-3, floor = 0;
  int resamples = 0;
  uint64_t seed = 0;
  bool profile = false, allow_repeat = false;
  std::vector<std::string> columns, units;
  std::string group, decimal, served, smaller;
};

void AddFitOptions(CLI::App& command, Arguments& arguments) {
  command
      .add_option("--method", arguments.method, "all, parametric, frontier, isoflop, loss-compute")
      ->capture_default_str();
  command
      .add_option("--law", arguments.law,
                  "auto (standard, or coupled where standard's residuals have a pattern), " +
                      fitting::LawNames())
      ->capture_default_str();
  command.add_option("--floor", arguments.floor, "E of the law fixed-floor, nats");
  command.add_option("--objective", arguments.objective, "huber, lsq-log, lsq, lad")
      ->capture_default_str();
  command.add_option("--delta", arguments.delta, "Huber threshold on ln L")->capture_default_str();
  command.add_option("--resamples", arguments.resamples,
                     "0: each method's own (bootstrap 1000 to 4000, curves 200)");
  command
      .add_option("--cluster", arguments.cluster, "which points share errors: params, run, none")
      ->capture_default_str();
  command
      .add_option("--minimum", arguments.minimum,
                  "of the frontier: parabola, argmin, akima, crossing")
      ->capture_default_str();
  command
      .add_option("--window", arguments.window,
                  "points that the parametric law explains: auto (from where curves have settled), "
                  "all, tokens>=3e6, "
                  "tokens_per_param>=2, flops>=1e18")
      ->capture_default_str();
  command.add_option("--seed", arguments.seed, "of the resamples")->capture_default_str();
  command.add_option("--budget", arguments.budgets,
                     "FLOPs to predict at, between commas: 1e21,3e22; 1e18..1e24 is every decade");
  command.add_option("--served", arguments.served,
                     "tokens that the model will serve: at each budget the cheapest model of the "
                     "same loss, 1e12,1e13");
  command.add_option("--smaller", arguments.smaller,
                     "at each budget, models so many times smaller than N*, and what they cost: "
                     "2,4");
  command.add_option("--withhold", arguments.withhold,
                     "sizes that the fit does not read but predicts: 200k,600k");
  command.add_flag("--profile", arguments.profile,
                   "profile-likelihood intervals too, valid for independent errors only");
  command.add_option("--flops", arguments.flops,
                     "C: of a file auto, 6nd, data; of a sweep 6nd, exact (default: the sweep's)");
}

void AddSweepOptions(CLI::App& command, Arguments& arguments) {
  command.add_option("--params", arguments.params,
                     "N of a sweep: paper, total, non-embedding, active (default: the sweep's)");
  command.add_option("--series", arguments.series,
                     "loss of a sweep: heldout (default), train, or heldout_MEMBER of a union");
  command.add_flag("--allow-repeat", arguments.allow_repeat,
                   "of a sweep: use observations beyond its max_epochs");
}

void AddFileOptions(CLI::App& command, Arguments& arguments, bool groups) {
  command
      .add_option(
          "--column", arguments.columns,
          "of a file: which column is N, D, loss, C, run, family, weight, epochs, ends_cell "
          "or state: loss=eval_nll; C=none reads none. May be repeated")
      ->allow_extra_args(false);
  command
      .add_option("--unit", arguments.units,
                  "of a file: N=M, D=B, C=PF-days, loss=bits (or bits alone); N=1: as it stands")
      ->delimiter(',')
      ->allow_extra_args(false);
  if (groups) {
    command.add_option("--group", arguments.group,
                       "of a file: a fit for each value of this column, beside each other");
  }
  command.add_option("--decimal", arguments.decimal, "of a file: point or comma");
}

// Checks every word here, so that a wrong one is told without a coordinator.
absl::StatusOr<fitting::FitOptions> FileOptions(const Arguments& arguments) {
  fitting::FitOptions options;
  ALLO_ASSIGN_OR_RETURN(options.method, fitting::ParseMethod(arguments.method));
  options.choose_law = arguments.law == "auto";
  if (!options.choose_law) {
    ALLO_ASSIGN_OR_RETURN(options.law, fitting::ParseLaw(arguments.law));
  }
  ALLO_ASSIGN_OR_RETURN(options.objective, fitting::ParseObjective(arguments.objective));
  ALLO_ASSIGN_OR_RETURN(options.cluster, fitting::ParseCluster(arguments.cluster));
  ALLO_ASSIGN_OR_RETURN(options.minimum, fitting::ParseMinimum(arguments.minimum));
  ALLO_ASSIGN_OR_RETURN(options.window, fitting::ParseWindow(arguments.window));
  ALLO_ASSIGN_OR_RETURN(options.budgets, fitting::ParseBudgets(PlainNumbers(arguments.budgets)));
  ALLO_ASSIGN_OR_RETURN(options.served_tokens,
                        fitting::ParseNumbers(PlainNumbers(arguments.served), "served tokens", 0));
  ALLO_ASSIGN_OR_RETURN(options.times_smaller,
                        fitting::ParseNumbers(arguments.smaller, "times smaller than N*", 1));
  options.withhold = fitting::ParseLabels(arguments.withhold);
  options.delta = arguments.delta;
  options.fixed_floor = arguments.floor;
  options.resamples = arguments.resamples;
  options.seed = arguments.seed;
  options.profile = arguments.profile;
  options.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  ALLO_RETURN_IF_ERROR(fitting::Validate(options));
  return options;
}

v1::FitOptions SweepOptions(const Arguments& arguments, const fitting::FitOptions& checked) {
  v1::FitOptions options;
  options.set_method(arguments.method);
  options.set_law(arguments.law);
  options.set_objective(arguments.objective);
  options.set_delta(checked.delta);
  options.set_resamples(checked.resamples);
  options.set_cluster(arguments.cluster);
  options.set_seed(checked.seed);
  options.mutable_budgets_flops()->Assign(checked.budgets.begin(), checked.budgets.end());
  options.set_params_policy(arguments.params);
  options.set_flops_convention(arguments.flops);
  options.set_series(arguments.series);
  options.set_allow_repeat(arguments.allow_repeat);
  options.set_fixed_floor(checked.fixed_floor);
  options.set_profile(checked.profile);
  options.set_minimum(arguments.minimum);
  if (arguments.window != "auto") options.set_window(arguments.window);
  options.mutable_served_tokens()->Assign(checked.served_tokens.begin(),
                                          checked.served_tokens.end());
  options.mutable_times_smaller()->Assign(checked.times_smaller.begin(),
                                          checked.times_smaller.end());
  options.mutable_withhold()->Assign(checked.withhold.begin(), checked.withhold.end());
  return options;
}

fitting::CsvOptions CsvOf(const Arguments& arguments) {
  fitting::CsvOptions csv;
  csv.columns = arguments.columns;
  csv.units = arguments.units;
  csv.group = arguments.group;
  csv.decimal = arguments.decimal;
  return csv;
}

int Fit(const Context& context, const Arguments& arguments) {
  // The name of a sweep begins with a letter or a digit, so that a folder may have it too.
  const std::string& target = arguments.target;
  const bool may_be_a_sweep =
      absl::ascii_isalnum(target[0]) && target.find('/') == std::string::npos;
  if (!may_be_a_sweep && std::filesystem::is_directory(target)) {
    return Fail(absl::InvalidArgumentError(absl::StrCat(
        "allo: ", target, " is a folder: a sweep, or a file with a table of runs, is expected")));
  }
  absl::StatusOr<fitting::FitOptions> options = FileOptions(arguments);
  if (!options.ok()) return Fail(options.status());
  std::optional<TableFormat> table;
  if (!arguments.table.empty()) {
    const absl::StatusOr<TableFormat> format = ParseTableFormat(arguments.table);
    if (!format.ok()) return Fail(format.status());
    table = *format;
  }
  if (!NamesAFile(arguments.target)) {
    if (!arguments.columns.empty() || !arguments.units.empty() || !arguments.group.empty() ||
        !arguments.decimal.empty()) {
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("allo: --column, --unit, --group and --decimal are for files; there is no "
                       "file ",
                       arguments.target, ", and a sweep's columns are known")));
    }
    return FitSweep(context, arguments.target, SweepOptions(arguments, *options), arguments.figure,
                    table);
  }
  if (!arguments.params.empty() || !arguments.series.empty() || arguments.allow_repeat) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("allo: --params, --series and --allow-repeat are for sweeps; ",
                     arguments.target, " is a file, whose columns say what N and the loss are")));
  }
  if (!arguments.flops.empty()) {
    absl::StatusOr<fitting::FlopsConvention> flops = fitting::ParseFlopsConvention(arguments.flops);
    if (!flops.ok()) return Fail(flops.status());
    options->flops = *flops;
  }
  return RunFitFile(
      {arguments.target, *options, CsvOf(arguments), context.json, table, arguments.figure});
}

int ListPredictions(const Context& context, const std::string& sweep) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::ListPredictionsRequest request;
  request.set_sweep(sweep);
  v1::ListPredictionsResponse response;
  const grpc::Status status =
      (*stub)->ListPredictions(MakeCall(context, kTimeoutS).get(), request, &response);
  if (!status.ok()) return Fail(context, status);
  std::cout << (context.json ? response.report_json() : response.report_text()) << std::flush;
  return kExitOk;
}

int Predict(const Context& context, const Arguments& arguments) {
  absl::StatusOr<fitting::FitOptions> options = FileOptions(arguments);
  if (!options.ok()) return Fail(options.status());
  if (options->budgets.empty() && options->withhold.empty()) {
    return ListPredictions(context, arguments.target);
  }
  return PredictSweep(context, arguments.target, SweepOptions(arguments, *options));
}

absl::StatusOr<fitting::Observations> ReadTarget(const Context& context, const std::string& target,
                                                 const fitting::CsvOptions& csv) {
  if (!NamesAFile(target)) return SweepObservations(context, target);
  return fitting::ReadCsv(target == "-" ? "/dev/stdin" : target, csv);
}

int Compare(const Context& context, const Arguments& arguments) {
  absl::StatusOr<fitting::FitOptions> options = FileOptions(arguments);
  if (!options.ok()) return Fail(options.status());
  fitting::CsvOptions csv = CsvOf(arguments);
  if (!arguments.flops.empty()) {
    absl::StatusOr<fitting::FlopsConvention> flops = fitting::ParseFlopsConvention(arguments.flops);
    if (!flops.ok()) return Fail(flops.status());
    options->flops = csv.flops = *flops;
  }
  std::optional<Ticker> ticker;
  ticker.emplace("allo compare", "fitting both");
  const absl::StatusOr<fitting::Observations> first = ReadTarget(context, arguments.target, csv);
  if (!first.ok()) return Fail(first.status());
  const absl::StatusOr<fitting::Observations> second = ReadTarget(context, arguments.other, csv);
  if (!second.ok()) return Fail(second.status());
  const absl::StatusOr<fitting::Comparison> comparison =
      fitting::Compare(*first, *second, *options, arguments.paired);
  ticker.reset();
  if (!comparison.ok()) return Fail(comparison.status());
  std::cout << (context.json ? CompareJson(*comparison, arguments.target, arguments.other)
                             : CompareText(*comparison, arguments.target, arguments.other))
            << std::flush;
  return kExitOk;
}

}  // namespace

void AddFit(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "fit", "coefficients with intervals, of a sweep or of a CSV file (docs/fitting.md)");
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("SWEEP|FILE.csv", arguments->target,
                   "a sweep of the coordinator, or a file (no coordinator needed; '-': stdin)")
      ->required();
  AddFitOptions(*command, *arguments);
  AddSweepOptions(*command, *arguments);
  AddFileOptions(*command, *arguments, true);
  command->add_option("--table", arguments->table, "the answers alone: text, csv, markdown, latex");
  command->add_option("--svg", arguments->figure.svg, "write the figure of data and fit here");
  command->add_option("--pdf", arguments->figure.pdf, "the same as PDF");
  command->add_option("--html", arguments->figure.html,
                      "a page of its own: the answer, the figure, the report");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Fit(context, *arguments); };
  });
}

void AddCompare(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "compare",
      "whether two sweeps or CSV files have different laws, and what one is worth in compute of "
      "the other (docs/fitting.md)");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("A", arguments->target, "a sweep of the coordinator, or a file")->required();
  command->add_option("B", arguments->other, "the same")->required();
  command->add_flag("--paired", arguments->paired,
                    "equal sizes of both share their errors: same seeds and order of data");
  AddFitOptions(*command, *arguments);
  AddFileOptions(*command, *arguments, false);
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Compare(context, *arguments); };
  });
}

void AddPredict(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "predict",
      "N*, D* and loss at budgets; stored, and scored when such a run ends. Without a budget: what "
      "was predicted and how it did");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("SWEEP", arguments->target, "name of the sweep")->required();
  AddFitOptions(*command, *arguments);
  AddSweepOptions(*command, *arguments);
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Predict(context, *arguments); };
  });
}

}  // namespace allometry::cli
