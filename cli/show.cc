// allo show: one sweep, or the file that it was submitted from.
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/output_file.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"
#include "cli/sweep_input.h"
#include "coordinator/sweep/renamed.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;

struct Arguments {
  std::string sweep, clone, output;
  bool yaml = false;
};

absl::StatusOr<std::string> SourceOf(const v1::GetSourceResponse& source,
                                     const Arguments& arguments) {
  if (source.sweep_yaml().empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "allo: sweep '", arguments.sweep, "' was imported, and has no sweep file: 'allo show ",
        arguments.sweep, "' says from where"));
  }
  const std::string text = AsWritten(source.sweep_yaml());
  if (arguments.clone.empty()) return text;
  return sweep::Renamed(text, source.file_name(), arguments.clone);
}

int ShowSource(const Context& context, v1::ClientService::Stub& stub, const Arguments& arguments) {
  v1::GetSourceRequest request;
  request.set_name(arguments.sweep);
  v1::GetSourceResponse source;
  const grpc::Status status = stub.GetSource(MakeCall(context, kTimeoutS).get(), request, &source);
  if (!status.ok()) return Fail(context, status);
  const absl::StatusOr<std::string> text = SourceOf(source, arguments);
  if (!text.ok()) return Fail(text.status());
  if (!arguments.output.empty()) {
    const absl::Status written = WriteOutput(arguments.output, *text, {});
    return written.ok() ? kExitOk : Fail(Annotate(written, "allo: --output"));
  }
  std::cout << *text << (text->back() == '\n' ? "" : "\n");
  return kExitOk;
}

std::string SweepText(const v1::Sweep& sweep) {
  std::vector<std::vector<std::string>> rows;
  const auto add = [&](const char* what, const std::string& value) {
    if (!value.empty()) rows.push_back({what, value});
  };
  add("sweep", sweep.name());
  add("user",
      sweep.user().empty()
          ? ""
          : absl::StrCat(sweep.user(), sweep.user_is_claimed() ? " (as the client says)" : ""));
  add("submitted", LocalTime(sweep.created_unix_us()));
  add("data", sweep.dataset());
  add("imported", sweep.imported());
  add("tags", absl::StrJoin(sweep.tags(), " "));
  add("note", sweep.note());
  add("archived", sweep.archived() ? "yes: 'allo sweeps --all' lists it" : "");
  add("params", absl::StrCat(sweep.params_policy(), ", FLOPs ", sweep.flops_convention()));
  add("runs", absl::StrFormat("%d: %d done, %d running, %d failed, %d cancelled", sweep.runs(),
                              sweep.runs_succeeded(), sweep.runs_leased(), sweep.runs_failed(),
                              sweep.runs_cancelled()));
  add("cells", absl::StrFormat("%d of %d done", sweep.cells_done(), sweep.cells()));
  add("best loss", sweep.has_best_loss() ? Loss(sweep.best_loss()) + " nats per token" : "");
  add("devices", DeviceHours(sweep));
  std::string text = Columns(rows, {true, true}, 0);
  absl::StrAppend(&text, StagesText(sweep));
  for (const std::string& reason : sweep.left_out()) {
    absl::StrAppend(&text, "left out: ", reason, "\n");
  }
  return text;
}

int Show(const Context& context, const Arguments& arguments) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  if (arguments.yaml || !arguments.clone.empty()) return ShowSource(context, **stub, arguments);
  v1::GetSweepRequest request;
  request.set_name(arguments.sweep);
  v1::GetSweepResponse response;
  const grpc::Status status =
      (*stub)->GetSweep(MakeCall(context, kTimeoutS).get(), request, &response);
  if (!status.ok()) return Fail(context, status);
  std::cout << (context.json ? ToJson(response.sweep()).dump(2) + "\n"
                             : SweepText(response.sweep()));
  return kExitOk;
}

}  // namespace

void AddShow(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("show", "one sweep: who, when, tags, how far; or its sweep file");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("SWEEP", arguments->sweep, "name of the sweep")->required();
  command->add_flag("--yaml", arguments->yaml, "the sweep file that was submitted last");
  command->add_option("--clone", arguments->clone,
                      "the sweep file under this name, to change and submit");
  command->add_option("-o,--output", arguments->output, "write the sweep file here");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Show(context, *arguments); };
  });
}

}  // namespace allometry::cli
