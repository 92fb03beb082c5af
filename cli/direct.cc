// allo optima, allo rates, allo scores: laws of tables that are no table of runs (fitting/direct).
#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <thread>

#include "CLI/CLI.hpp"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/sweep_observations.h"
#include "fitting/data/csv.h"
#include "fitting/data/options.h"
#include "fitting/direct/optima.h"
#include "fitting/direct/rates.h"
#include "fitting/direct/scores.h"
#include "fitting/report/fit.h"

namespace allometry::cli {
namespace {

struct Arguments {
  std::string file, budgets, sizes;
  fitting::ScoreOptions score;
  fitting::CsvOptions csv;
};

void AddTableOptions(CLI::App& command, Arguments& arguments, const std::string& names) {
  command
      .add_option("--column", arguments.csv.columns,
                  "which column is " + names + ": NAME=COLUMN; none reads none. May be repeated")
      ->allow_extra_args(false);
  command.add_option("--unit", arguments.csv.units, "of a column: N=M, D=B, C=PF-days, loss=bits")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--decimal", arguments.csv.decimal, "point or comma");
}

std::string PathOf(const Arguments& arguments) {
  return arguments.file == "-" ? "/dev/stdin" : arguments.file;
}

int Optima(const Context& context, const Arguments& arguments) {
  absl::StatusOr<std::vector<double>> budgets =
      fitting::ParseBudgets(PlainNumbers(arguments.budgets));
  if (!budgets.ok()) return Fail(budgets.status());
  const absl::StatusOr<std::vector<fitting::OptimaTable>> tables =
      fitting::ReadOptima(PathOf(arguments), arguments.csv);
  if (!tables.ok()) return Fail(tables.status());
  std::vector<fitting::OptimaFit> fits;
  for (const fitting::OptimaTable& table : *tables) {
    absl::StatusOr<fitting::OptimaFit> fit = fitting::FitOptima(table, *budgets);
    if (!fit.ok()) return Fail(fit.status());
    fits.push_back(*std::move(fit));
  }
  std::cout << (context.json ? OptimaJson(fits) : OptimaText(fits)) << std::flush;
  return kExitOk;
}

// The cells that are done, each with its run's rate and batch size.
absl::StatusOr<fitting::RateTable> RatesOfSweep(const Context& context, const std::string& sweep,
                                                grpc::Status& why) {
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<v1::ClientService::Stub> stub, Connect(context));
  v1::GetSweepRequest request;
  request.set_name(sweep);
  v1::GetSweepResponse response;
  why = stub->GetSweep(MakeCall(context, 60).get(), request, &response);
  if (!why.ok()) return absl::UnknownError(why.error_message());
  std::map<int64_t, const v1::RunIdentity*> identities;
  for (const v1::Run& run : response.runs()) {
    identities[run.run_id()] = &run.spec().identity();
  }
  fitting::RateTable table;
  for (const v1::Cell& cell : response.cells()) {
    ++table.total;
    const auto identity = identities.find(cell.run_id());
    if (!cell.done() || identity == identities.end() || !(cell.loss() > 0) ||
        !std::isfinite(cell.loss())) {
      continue;
    }
    table.runs.push_back({static_cast<double>(cell.params()), static_cast<double>(cell.tokens()),
                          identity->second->learning_rate(), cell.loss(),
                          static_cast<double>(identity->second->batch_tokens()), 0});
  }
  if (table.runs.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("allo: no cell of ", sweep, " is done: there is nothing to read"));
  }
  return table;
}

int Rates(const Context& context, const Arguments& arguments) {
  absl::StatusOr<std::vector<double>> sizes =
      fitting::ParseNumbers(PlainNumbers(arguments.sizes), "size", 0);
  if (!sizes.ok()) return Fail(sizes.status());
  grpc::Status why;
  const absl::StatusOr<fitting::RateTable> table =
      NamesAFile(arguments.file) ? fitting::ReadRates(PathOf(arguments), arguments.csv)
                                 : RatesOfSweep(context, arguments.file, why);
  if (!why.ok()) return Fail(context, why);
  if (!table.ok()) return Fail(table.status());
  const absl::StatusOr<fitting::RateFit> fit = fitting::FitRates(*table, *sizes);
  if (!fit.ok()) return Fail(fit.status());
  std::cout << (context.json ? RatesJson(*fit) : RatesText(*fit)) << std::flush;
  return kExitOk;
}

int Scores(const Context& context, const Arguments& arguments) {
  absl::StatusOr<std::vector<double>> budgets =
      fitting::ParseBudgets(PlainNumbers(arguments.budgets));
  if (!budgets.ok()) return Fail(budgets.status());
  const absl::StatusOr<fitting::ScoreTable> table =
      fitting::ReadScores(arguments.file, arguments.csv);
  if (!table.ok()) return Fail(table.status());
  std::vector<fitting::ScoreFit::At> losses;
  if (!budgets->empty()) {
    fitting::CsvOptions runs = arguments.csv;  // a fit knows no score
    std::erase_if(runs.columns, [](const std::string& one) { return one.starts_with("score="); });
    std::erase_if(runs.units, [](const std::string& one) { return one.starts_with("score="); });
    const absl::StatusOr<fitting::Observations> observations =
        fitting::ReadCsv(arguments.file, runs);
    if (!observations.ok()) return Fail(observations.status());
    fitting::FitOptions options;
    options.choose_law = true;
    options.budgets = *budgets;
    options.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    const absl::StatusOr<fitting::FitReport> report = fitting::Fit(*observations, options);
    if (!report.ok()) return Fail(report.status());
    for (const fitting::Contradiction& one : report->conclusion.contradictions) {
      std::cerr << "allo: the fit of the loss: " << one.text << "\n";
    }
    for (const fitting::Answer& answer : report->conclusion.answers) {
      losses.push_back({answer.flops, answer.loss, {}});
    }
  }
  const absl::StatusOr<fitting::ScoreFit> fit = fitting::FitScores(*table, arguments.score, losses);
  if (!fit.ok()) return Fail(fit.status());
  std::cout << (context.json ? ScoresJson(*fit) : ScoresText(*fit)) << std::flush;
  return kExitOk;
}

}  // namespace

void AddScores(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "scores",
      "a benchmark's score from the loss, and at budgets that are not trained yet "
      "(docs/fitting.md)");
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("FILE.csv", arguments->file,
                   "runs with loss and score, and with N and D where a budget is asked for")
      ->required();
  AddTableOptions(*command, *arguments, "loss, score, N (and D, C of the fit)");
  command->add_option("--chance", arguments->score.chance, "score of a guess: .25 of four choices")
      ->capture_default_str();
  command->add_option("--ceiling", arguments->score.ceiling, "the best score there can be")
      ->capture_default_str();
  command->add_option("--budget", arguments->budgets, "FLOPs to predict at, between commas");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Scores(context, *arguments); };
  });
}

void AddRates(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "rates",
      "how the best learning rate and batch size grow with N and D, from runs that differ in them "
      "(docs/fitting.md)");
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("SWEEP|FILE.csv", arguments->file,
                   "a sweep of the coordinator, or a file; '-' is standard input")
      ->required();
  AddTableOptions(*command, *arguments, "N, D, loss, lr or batch");
  command->add_option("--size", arguments->sizes,
                      "N to predict at, between commas; default: twice and ten times the largest");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Rates(context, *arguments); };
  });
}

void AddOptima(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "optima",
      "power laws of a table of optima: C with the best N, D or loss there (docs/fitting.md)");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("FILE.csv", arguments->file, "the table; '-' is standard input")->required();
  AddTableOptions(*command, *arguments, "C, N, D, loss or weight");
  command->add_option("--group", arguments->csv.group, "a fit for each value of this column");
  command->add_option("--budget", arguments->budgets,
                      "FLOPs to predict at, between commas; default: ten times the largest C");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Optima(context, *arguments); };
  });
}

}  // namespace allometry::cli
