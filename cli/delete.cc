// allo delete.
#include <unistd.h>

#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"

namespace allometry::cli {
namespace {

constexpr int kPlanTimeoutS = 60;
// A thousand million points go at some hundred thousand a second; the coordinator goes on after it.
constexpr int kDeleteTimeoutS = 3600;

struct Arguments {
  std::string sweep;
  bool dry_run = false;
  bool yes = false;
};

std::string Bytes(int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value < 1e3) return absl::StrFormat("%d bytes", bytes);
  if (value < 1e6) return absl::StrFormat("%.1f kB", value / 1e3);
  if (value < 1e9) return absl::StrFormat("%.1f MB", value / 1e6);
  return absl::StrFormat("%.1f GB", value / 1e9);
}

std::string Counted(int64_t count, const char* one, const char* many) {
  return absl::StrCat(Grouped(count), " ", count == 1 ? one : many);
}

std::string Text(const std::string& verb, const std::string& sweep,
                 const v1::DeleteSweepResponse& summary) {
  std::string text = absl::StrFormat(
      "%s sweep %s: %s, %s, %s, %s\n", verb, sweep, Counted(summary.runs(), "run", "runs"),
      Counted(summary.points(), "point", "points"), Counted(summary.fits(), "fit", "fits"),
      Counted(summary.predictions(), "prediction", "predictions"));
  if (summary.run_directories() > 0) {
    absl::StrAppendFormat(&text, "  on run roots: %s with %s (%s), which the workers remove",
                          Counted(summary.run_directories(), "run directory", "run directories"),
                          Counted(summary.checkpoints(), "checkpoint", "checkpoints"),
                          Bytes(summary.checkpoint_bytes()));
    if (summary.unreachable_directories() > 0) {
      absl::StrAppendFormat(&text, "; %d of them once a worker with their run root connects",
                            summary.unreachable_directories());
    }
    text += "\n";
  }
  return text;
}

// Only where somebody sits there; a script has said what it wants.
bool Confirmed(const std::string& sweep) {
  if (isatty(STDIN_FILENO) == 0) return true;
  std::cout << "This cannot be undone. Type the name of the sweep to delete it: " << std::flush;
  std::string typed;
  std::getline(std::cin, typed);
  return typed == sweep;
}

int Delete(const Context& context, const Arguments& arguments) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::DeleteSweepRequest request;
  request.set_name(arguments.sweep);
  v1::DeleteSweepResponse summary;
  if (arguments.dry_run || (!arguments.yes && isatty(STDIN_FILENO) != 0)) {
    request.set_dry_run(true);
    const grpc::Status status =
        (*stub)->DeleteSweep(MakeCall(context, kPlanTimeoutS).get(), request, &summary);
    if (!status.ok()) return Fail(context, status);
    if (!context.json) std::cout << Text("would delete", arguments.sweep, summary);
    if (!arguments.dry_run && !Confirmed(arguments.sweep)) {
      std::cout << "nothing was deleted\n";
      return kExitFailed;
    }
  }
  if (!arguments.dry_run) {
    request.set_dry_run(false);
    const grpc::Status status =
        (*stub)->DeleteSweep(MakeCall(context, kDeleteTimeoutS).get(), request, &summary);
    if (!status.ok()) return Fail(context, status);
    if (!context.json) std::cout << Text("deleted", arguments.sweep, summary);
  }
  if (context.json) std::cout << ToJson(summary).dump(2) << "\n";
  return kExitOk;
}

}  // namespace

void AddDelete(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "delete",
      "remove a sweep that has ended: its runs, curves, fits, and the run directories with their "
      "checkpoints; on a terminal it asks first");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("SWEEP", arguments->sweep, "name of the sweep")->required();
  command->add_flag("--dry-run", arguments->dry_run,
                    "say how much would be removed, and remove nothing");
  command->add_flag("--yes", arguments->yes, "do not ask");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Delete(context, *arguments); };
  });
}

}  // namespace allometry::cli
