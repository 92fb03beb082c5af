#include <fstream>
#include <iostream>

#include "CLI/CLI.hpp"
#include "cli/commands.h"

namespace allometry::cli {
namespace {

struct Arguments {
  v1::ExportRequest request;
  bool points = false;
  std::string output;
};

int Export(const Context& context, const Arguments& arguments) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  std::ofstream file;
  if (!arguments.output.empty()) {
    file.open(arguments.output, std::ios::trunc);
    if (!file) {
      return Fail(
          absl::InvalidArgumentError(absl::StrCat("allo: cannot write ", arguments.output)));
    }
  }
  std::ostream& out = arguments.output.empty() ? std::cout : file;
  const std::unique_ptr<grpc::ClientContext> call = MakeCall(context, 0);
  const auto reader = (*stub)->Export(call.get(), arguments.request);
  v1::ExportResponse piece;
  while (out && reader->Read(&piece)) out << piece.csv();
  out.flush();
  if (!out) {
    call->TryCancel();
    return Fail(absl::DataLossError(absl::StrCat(
        "allo: could not write all of ",
        arguments.output.empty() ? "standard output" : arguments.output, ": is the disk full?")));
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? kExitOk : Fail(context, status);
}

}  // namespace

void AddExport(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "export", "a sweep's observations (what a fit reads) or loss points, as CSV");
  auto arguments = std::make_shared<Arguments>();
  auto sweep = std::make_shared<std::string>();
  auto series = std::make_shared<std::string>();
  command->add_option("SWEEP", *sweep, "name of the sweep")->required();
  command->add_flag("--points", arguments->points, "every loss point instead of the observations");
  command->add_option("--series", *series, "only this series: train, heldout, grad_norm, ...");
  command->add_option("-o,--output", arguments->output, "file to write; default: standard output");
  command->callback([&context, arguments, sweep, series] {
    arguments->request.set_sweep(*sweep);
    arguments->request.set_series(*series);
    arguments->request.set_what(arguments->points ? "points" : "observations");
    context.run = [&context, arguments] { return Export(context, *arguments); };
  });
}

}  // namespace allometry::cli
