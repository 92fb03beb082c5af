#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>

#include "CLI/CLI.hpp"
#include "base/foreign_text.h"
#include "base/output_file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/tensorboard.h"

namespace allometry::cli {
namespace {

struct Arguments {
  v1::ExportRequest request;
  RunFilterWords runs;
  bool points = false;
  std::string output, format = "csv";
};

// An earlier export may be replaced: the headers of observations and of points.
OutputOptions ExportFile() {
  return {.kind = "an export", .beginnings = {"sweep,size,run_id,", "run_id,size,series,"}};
}

// Standard output as it comes; a file is made at the first piece, so that an unknown sweep or a
// coordinator that does not answer leaves what is there.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path) {}

  absl::Status Append(const std::string& piece) {
    if (path_.empty()) {
      // Data for other programs is exact; a terminal obeys what is in it.
      if (isatty(STDOUT_FILENO) != 0) {
        std::cout << piece;
      } else {
        PrintableStream::WriteAsIs(std::cout, piece);
      }
      return std::cout ? absl::OkStatus() : absl::DataLossError("standard output takes no more");
    }
    ALLO_RETURN_IF_ERROR(Make());
    return file_->Append(piece);
  }

  absl::Status Finish() {
    if (!path_.empty()) {
      ALLO_RETURN_IF_ERROR(Make());
      return file_->Commit();
    }
    std::cout.flush();
    return std::cout ? absl::OkStatus() : absl::DataLossError("standard output takes no more");
  }

 private:
  absl::Status Make() {
    if (file_ != nullptr) return absl::OkStatus();
    ALLO_ASSIGN_OR_RETURN(file_, OutputFile::Create(path_, ExportFile()));
    return absl::OkStatus();
  }

  const std::string path_;
  std::unique_ptr<OutputFile> file_;
};

int NotWritten(const Arguments& arguments, const absl::Status& status) {
  const std::string& name = arguments.output.empty() ? "standard output" : arguments.output;
  return Fail(absl::Status(status.code(),
                           absl::StrCat("allo: ", name, " was not written: ", status.message())));
}

// Every loss point as event files under arguments.output.
int ExportToTensorboard(const Context& context, Arguments& arguments) {
  if (arguments.output.empty()) {
    return Fail(absl::InvalidArgumentError(
        "allo export: --format tensorboard writes a folder: name it with --output"));
  }
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  const std::optional<int> over = ChooseRuns(context, **stub, arguments.request.sweep(),
                                             arguments.runs, *arguments.request.mutable_run_ids());
  if (over) return *over;
  const std::unique_ptr<grpc::ClientContext> call = MakeCall(context, 0);
  const auto reader = (*stub)->Export(call.get(), arguments.request);
  TensorboardFolder folder(arguments.output);
  v1::ExportResponse piece;
  absl::Status written;
  while (written.ok() && reader->Read(&piece)) written = folder.AddCsv(piece.csv());
  if (!written.ok()) {
    call->TryCancel();
    return NotWritten(arguments, written);
  }
  if (const grpc::Status status = reader->Finish(); !status.ok()) return Fail(context, status);
  const absl::StatusOr<int> files = folder.Finish();
  if (!files.ok()) return NotWritten(arguments, files.status());
  std::cout << "wrote " << *files << (*files == 1 ? " run" : " runs") << ": tensorboard --logdir "
            << arguments.output << "\n";
  return kExitOk;
}

int Export(const Context& context, Arguments& arguments) {
  if (arguments.format == "tensorboard") return ExportToTensorboard(context, arguments);
  if (!arguments.output.empty()) {
    if (const absl::Status may = CheckOutput(arguments.output, ExportFile()); !may.ok()) {
      return NotWritten(arguments, may);
    }
  }
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  const std::optional<int> over = ChooseRuns(context, **stub, arguments.request.sweep(),
                                             arguments.runs, *arguments.request.mutable_run_ids());
  if (over) return *over;
  const std::unique_ptr<grpc::ClientContext> call = MakeCall(context, 0);
  const auto reader = (*stub)->Export(call.get(), arguments.request);
  Output output(arguments.output);
  v1::ExportResponse piece;
  absl::Status written;
  while (written.ok() && reader->Read(&piece)) written = output.Append(piece.csv());
  if (!written.ok()) {
    call->TryCancel();
    return NotWritten(arguments, written);
  }
  if (const grpc::Status status = reader->Finish(); !status.ok()) return Fail(context, status);
  written = output.Finish();
  return written.ok() ? kExitOk : NotWritten(arguments, written);
}

}  // namespace

void AddExport(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "export", "a sweep's observations (what a fit reads) or loss points, as CSV");
  auto arguments = std::make_shared<Arguments>();
  auto sweep = std::make_shared<std::string>();
  auto series = std::make_shared<std::string>();
  command->add_option("SWEEP", *sweep, "name of the sweep")->required();
  AddRunOptions(*command, arguments->runs);
  command->add_flag("--points", arguments->points, "every loss point instead of the observations");
  command->add_option("--series", *series, "only this series: train, heldout, grad_norm, ...");
  command->add_option(
      "-o,--output", arguments->output,
      "file to write, which may be there if it is an export; default: standard output");
  command
      ->add_option("--format", arguments->format,
                   "csv, or tensorboard: event files of every loss point, in the folder --output")
      ->check(CLI::IsMember({"csv", "tensorboard"}))
      ->capture_default_str();
  command->callback([&context, arguments, sweep, series] {
    arguments->request.set_sweep(*sweep);
    arguments->request.set_series(*series);
    const bool points = arguments->points || arguments->format == "tensorboard";
    arguments->request.set_what(points ? "points" : "observations");
    context.run = [&context, arguments] { return Export(context, *arguments); };
  });
}

}  // namespace allometry::cli
