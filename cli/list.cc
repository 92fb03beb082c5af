// allo sweeps, allo runs.
#include <algorithm>
#include <iostream>
#include <numeric>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/foreign_text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"
#include "cli/run_options.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;
constexpr size_t kTableColumns = 100;
constexpr size_t kNameColumns = 24;
constexpr size_t kUserColumns = 8;
constexpr size_t kDayColumns = 10;  // of LocalTime
constexpr size_t kLeastTagColumns = 6;

struct SweepsArguments {
  bool all = false;  // archived ones too
  std::string tag, user;
  int limit = 0;  // the newest; 0: all
};

bool IsListed(const v1::Sweep& sweep, const SweepsArguments& arguments) {
  if (sweep.archived() && !arguments.all) return false;
  if (!arguments.user.empty() && sweep.user() != arguments.user) return false;
  return arguments.tag.empty() ||
         std::find(sweep.tags().begin(), sweep.tags().end(), arguments.tag) != sweep.tags().end();
}

// Until the last run ends, or why that is not said.
std::string TimeLeft(const v1::Sweep& sweep) {
  if (sweep.being_deleted()) return "deleting";
  const bool ended =
      sweep.runs() == sweep.runs_succeeded() + sweep.runs_failed() + sweep.runs_cancelled();
  if (ended) return "ended";
  if (sweep.has_eta_s()) return Duration(sweep.eta_s());
  return sweep.runs_leased() > 0 ? "?" : "waits";
}

// Tags take what the other columns leave of a hundred.
std::string SweepsTable(const std::vector<v1::Sweep>& sweeps) {
  const auto of = [](int done, int all) { return absl::StrCat(done, "/", all); };
  std::vector<std::vector<std::string>> rows = {
      {"sweep", "user", "created", "cells", "runs", "failed", "time left", "best loss", "tags"}};
  for (const v1::Sweep& sweep : sweeps) {
    rows.push_back(
        {Shortened(sweep.name(), kNameColumns),
         absl::StrCat(Shortened(sweep.user(), kUserColumns), sweep.user_is_claimed() ? "?" : ""),
         LocalTime(sweep.created_unix_us()).substr(0, kDayColumns),
         of(sweep.cells_done(), sweep.cells()), of(sweep.runs_succeeded(), sweep.runs()),
         absl::StrCat(sweep.runs_failed()), TimeLeft(sweep),
         sweep.has_best_loss() ? Loss(sweep.best_loss()) : "-", ""});
  }
  std::vector<size_t> widths(rows[0].size());
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size() + 2);
  }
  const size_t used = std::accumulate(widths.begin(), widths.end(), size_t{0});
  const size_t left =
      used + kLeastTagColumns < kTableColumns ? kTableColumns - used : kLeastTagColumns;
  for (size_t i = 0; i < sweeps.size(); ++i) {
    rows[i + 1].back() = Shortened(absl::StrJoin(sweeps[i].tags(), " "), left);
  }
  return Columns(rows, {true, true, true, false, false, false, false, false, true}, 0);
}

int ListSweeps(const Context& context, const SweepsArguments& arguments) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::ListSweepsResponse response;
  const grpc::Status status =
      (*stub)->ListSweeps(MakeCall(context, kTimeoutS).get(), {}, &response);
  if (!status.ok()) return Fail(context, status);
  const int stored = response.sweeps_size();
  std::vector<v1::Sweep> listed;
  for (v1::Sweep& sweep : *response.mutable_sweeps()) {
    if (IsListed(sweep, arguments)) listed.push_back(std::move(sweep));
  }
  const auto limit = static_cast<size_t>(arguments.limit);
  if (limit > 0 && listed.size() > limit)
    listed.erase(listed.begin(), listed.end() - arguments.limit);
  response.mutable_sweeps()->Assign(listed.begin(), listed.end());
  if (context.json) {
    std::cout << ToJson(response)["sweeps"].dump(2) << "\n";
    return kExitOk;
  }
  if (stored == 0) {
    std::cout << "no sweeps yet: submit one with 'allo submit FILE.yaml'\n";
    return kExitOk;
  }
  if (!listed.empty()) std::cout << SweepsTable(listed);
  if (const int hidden = stored - response.sweeps_size(); hidden > 0) {
    std::cout << hidden << " of " << stored << " sweeps not listed"
              << (arguments.all ? "" : " ('--all' lists archived ones too)") << "\n";
  }
  if (std::any_of(listed.begin(), listed.end(),
                  [](const v1::Sweep& sweep) { return sweep.user_is_claimed(); })) {
    std::cout << "?: the user's name as the client says it\n";
  }
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
  CLI::App* command = app.add_subcommand(
      "sweeps", "list the sweeps of the coordinator: whose, since when, how far, best loss, tags");
  auto arguments = std::make_shared<SweepsArguments>();
  command->add_flag("--all", arguments->all, "archived ones too");
  command->add_option("--tag", arguments->tag, "only those with this tag");
  command->add_option("--user", arguments->user, "only those of this user");
  command->add_option("--limit", arguments->limit, "at most so many, the newest")
      ->check(CLI::NonNegativeNumber);
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return ListSweeps(context, *arguments); };
  });
}

void AddRuns(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("runs", "list a sweep's runs: states, losses, and why one waits");
  auto arguments = std::make_shared<RunsArguments>();
  command->add_option("SWEEP", arguments->name, "name of the sweep")->required();
  RunFilterWords& filter = arguments->filter;
  AddRunOptions(*command, filter);
  command->add_option("--sort", filter.sort,
                      "by " + absl::StrJoin(RunOrders(), ", ") + "; a '-' before it: descending");
  command->add_option("--limit", filter.limit, "at most so many")->check(CLI::NonNegativeNumber);
  command->add_flag("--cells", arguments->cells, "the cells too: loss at every (N, D)");
  command->add_flag("--failed", arguments->failed,
                    "only runs that failed, with the last lines of their logs");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return ListRuns(context, *arguments); };
  });
}

}  // namespace allometry::cli
