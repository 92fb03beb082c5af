// allo optima: laws of tables that are no table of runs (fitting/direct).
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "cli/commands.h"
#include "fitting/data/options.h"
#include "fitting/direct/optima.h"

namespace allometry::cli {
namespace {

struct Arguments {
  std::string file, budgets;
  fitting::CsvOptions csv;
};

void AddTableOptions(CLI::App& command, Arguments& arguments, const std::string& names) {
  command.add_option("FILE.csv", arguments.file, "the table; '-' is standard input")->required();
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
  absl::StatusOr<std::vector<double>> budgets = fitting::ParseBudgets(arguments.budgets);
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

}  // namespace

void AddOptima(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "optima",
      "power laws of a table of optima: C with the best N, D or loss there (docs/fitting.md)");
  auto arguments = std::make_shared<Arguments>();
  AddTableOptions(*command, *arguments, "C, N, D, loss or weight");
  command->add_option("--group", arguments->csv.group, "a fit for each value of this column");
  command->add_option("--budget", arguments->budgets,
                      "FLOPs to predict at, between commas; default: ten times the largest C");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Optima(context, *arguments); };
  });
}

}  // namespace allometry::cli
