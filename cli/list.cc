// allo sweeps, allo runs.
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/foreign_text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"
#include "cli/run_filter.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;
constexpr size_t kNameColumns = 26;  // two of them leave the other columns room within 100

// "2026-11-30 17:05", in the time of this machine.
std::string Day(int64_t unix_us) {
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixMicros(unix_us), absl::LocalTimeZone());
}

int ListSweeps(const Context& context) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::ListSweepsResponse response;
  const grpc::Status status =
      (*stub)->ListSweeps(MakeCall(context, kTimeoutS).get(), {}, &response);
  if (!status.ok()) return Fail(context, status);
  if (context.json) {
    std::cout << ToJson(response)["sweeps"].dump(2) << "\n";
    return kExitOk;
  }
  if (response.sweeps().empty()) {
    std::cout << "no sweeps yet: submit one with 'allo submit FILE.yaml'\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"sweep", "dataset", "created", "cells", "runs", "running", "failed", "device-h"}};
  for (const v1::Sweep& sweep : response.sweeps()) {
    const auto of = [](int done, int all) { return absl::StrCat(done, "/", all); };
    rows.push_back({Shortened(sweep.name(), kNameColumns), Shortened(sweep.dataset(), kNameColumns),
                    Day(sweep.created_unix_us()), of(sweep.cells_done(), sweep.cells()),
                    of(sweep.runs_succeeded(), sweep.runs()), absl::StrCat(sweep.runs_leased()),
                    absl::StrCat(sweep.runs_failed()),
                    absl::StrFormat("%.3g", sweep.device_seconds() / 3600)});
  }
  std::cout << Columns(rows, {true, true}, 0);
  return kExitOk;
}

// Losses by size and budget: the grid that the sweep is.
std::string CellsTable(const v1::GetSweepResponse& sweep) {
  std::vector<std::vector<std::string>> rows = {
      {"size", "params", "run", "tokens", "epochs", "FLOPs", "held-out loss"}};
  for (const v1::Cell& cell : sweep.cells()) {
    rows.push_back({cell.size(), Grouped(cell.params()), absl::StrCat(cell.run_id()),
                    Short(static_cast<double>(cell.tokens())),
                    absl::StrFormat("%.2f", cell.epochs()), Scientific(cell.flops()),
                    cell.done() ? Loss(cell.loss()) : "not yet"});
  }
  return Columns(rows, {true}, 2);
}

// Each failed run with all that its last attempt said, the end of its log included.
std::string FailedRuns(const v1::GetSweepResponse& sweep) {
  std::string text;
  for (const v1::Run& run : sweep.runs()) {
    if (run.state() != v1::RUN_FAILED) continue;
    absl::StrAppendFormat(&text, "run %d (%s), attempt %d, step %d: %s\n", run.run_id(), run.size(),
                          run.attempt(), run.step(), StateWord(run));
    for (const absl::string_view line : absl::StrSplit(run.reason(), '\n')) {
      absl::StrAppend(&text, "  ", line, "\n");
    }
  }
  return text.empty() ? "no run has failed\n" : text;
}

struct RunsArguments {
  std::string name;
  RunFilterWords filter;
  bool cells = false;
  bool failed = false;
};

int ListRuns(const Context& context, const RunsArguments& arguments) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::GetSweepRequest request;
  request.set_name(arguments.name);
  v1::GetSweepResponse response;
  const grpc::Status status =
      (*stub)->GetSweep(MakeCall(context, kTimeoutS).get(), request, &response);
  if (!status.ok()) return Fail(context, status);
  absl::StatusOr<std::vector<v1::Run>> runs =
      FilterRuns({response.runs().begin(), response.runs().end()}, arguments.filter);
  if (!runs.ok()) return Fail(runs.status());
  response.mutable_runs()->Assign(runs->begin(), runs->end());
  if (context.json) {
    std::cout << ToJson(response).dump(2) << "\n";
    return kExitOk;
  }
  if (arguments.failed) {
    std::cout << FailedRuns(response);
    return kExitOk;
  }
  std::cout << RunsTable(*runs);
  if (const int hidden = response.sweep().runs() - response.runs_size(); hidden > 0) {
    std::cout << "  " << hidden << " of " << response.sweep().runs() << " runs not listed\n";
  }
  std::cout << "  " << DeviceHours(response.sweep()) << "\n" << StagesText(response.sweep());
  if (arguments.cells) std::cout << "\n" << CellsTable(response);
  for (const std::string& reason : response.sweep().left_out()) {
    std::cout << "  left out: " << reason << "\n";
  }
  return kExitOk;
}

}  // namespace

void AddSweeps(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("sweeps", "list the sweeps of the coordinator");
  command->callback([&context] { context.run = [&context] { return ListSweeps(context); }; });
}

void AddRuns(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("runs", "list a sweep's runs: states, losses, and why one waits");
  auto arguments = std::make_shared<RunsArguments>();
  command->add_option("SWEEP", arguments->name, "name of the sweep")->required();
  RunFilterWords& filter = arguments->filter;
  const auto several = [&](const char* name, std::vector<std::string>& into, const char* help) {
    command->add_option(name, into, help)->delimiter(',')->allow_extra_args(false);
  };
  several("--state", filter.states, "only these: waiting, running, done, failed, cancelled");
  several("--size", filter.sizes, "only these sizes: 40k,160k");
  several("--seed", filter.seeds, "only these seeds");
  several("--rate", filter.rates, "only these learning rates");
  command->add_option("--sort", filter.sort,
                      "by " + absl::StrJoin(RunOrders(), ", ") + "; a '-' before it: descending");
  command->add_option("--limit", filter.limit, "at most so many");
  command->add_flag("--cells", arguments->cells, "the cells too: loss at every (N, D)");
  command->add_flag("--failed", arguments->failed,
                    "only runs that failed, with the last lines of their logs");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return ListRuns(context, *arguments); };
  });
}

}  // namespace allometry::cli
