// allo next: what to train next, for the least compute.
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 300;  // a large sweep has many candidates

struct Arguments {
  v1::ProposeCellsRequest request;
};

std::string Width(double width) { return absl::StrFormat("%.3g", width); }

void Print(const v1::ProposeCellsRequest& request, const v1::ProposeCellsResponse& response) {
  const std::string target = request.target() == "loss"
                                 ? request.target_flops() > 0
                                       ? "L* at " + Scientific(request.target_flops()) + " FLOPs"
                                       : "L* at ten times the largest budget"
                                 : request.target();
  std::cout << "cells that take most off the 95 % interval of " << target
            << " for their FLOPs, each on top of those above it:\n\n";
  std::vector<std::vector<std::string>> rows = {
      {"", "params", "tokens", "adds FLOPs", "width now", "then", "what"}};
  double flops = 0;
  for (int i = 0; i < response.cells_size(); ++i) {
    const v1::ProposedCell& cell = response.cells(i);
    flops += cell.flops();
    rows.push_back({absl::StrCat(i + 1), Short(cell.params()), Short(cell.tokens()),
                    Scientific(cell.flops()), Width(cell.width_now()), Width(cell.width_then()),
                    cell.note()});
  }
  std::cout << Columns(rows, {false, false, false, false, false, false, true}) << "\n  together "
            << Scientific(flops)
            << " FLOPs. Widths are expected ones, under the law and the errors of the sweep's\n"
               "  own observations (docs/next.md).\n";
  for (const std::string& change : response.changes()) std::cout << "accepted: " << change << "\n";
  if (response.changes().empty()) {
    std::cout << "  'allo next " << request.sweep() << " --accept K' adds the first K.\n";
  } else {
    std::cout << "  'allo watch " << request.sweep() << "' follows them.\n";
  }
}

int Next(const Context& context, const Arguments& arguments) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::ProposeCellsResponse response;
  const grpc::Status status =
      (*stub)->ProposeCells(MakeCall(context, kTimeoutS).get(), arguments.request, &response);
  if (!status.ok()) return Fail(context, status);
  if (context.json) {
    std::cout << ToJson(response).dump(2) << "\n";
  } else {
    Print(arguments.request, response);
  }
  std::cout << std::flush;
  return kExitOk;
}

template <class T, class Set>
CLI::Option* AddField(CLI::App& command, const std::string& name, const std::string& help,
                      Set set) {
  return command.add_option_function<T>(name, set, help);
}

}  // namespace

void AddNext(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "next", "propose the cells that narrow an interval most for their FLOPs; add them if asked");
  auto arguments = std::make_shared<Arguments>();
  v1::ProposeCellsRequest* request = &arguments->request;
  request->set_target("a");
  request->set_count(10);
  AddField<std::string>(*command, "SWEEP", "name of the sweep", [request](const std::string& name) {
    request->set_sweep(name);
  })->required();
  AddField<std::string>(*command, "--target", "a, alpha, beta, E or loss (default: a)",
                        [request](const std::string& target) { request->set_target(target); })
      ->check(CLI::IsMember({"a", "alpha", "beta", "E", "loss"}));
  AddField<double>(*command, "--budget",
                   "FLOPs at which the loss is wanted (default: ten times the largest budget)",
                   [request](double flops) { request->set_target_flops(flops); })
      ->transform(PlainNumbers)
      ->check(CheckAboveZero);
  AddField<double>(*command, "--max-flops",
                   "most FLOPs of one cell (default: ten times the largest budget)",
                   [request](double flops) { request->set_max_flops(flops); })
      ->transform(PlainNumbers)
      ->check(CheckAboveZero);
  AddField<int>(*command, "--count", "how many to name, at most 100 (default: 10)",
                [request](int count) { request->set_count(count); })
      ->check(CLI::Range(1, 100));
  AddField<int>(*command, "--accept", "add the first so many to the sweep; they are trained",
                [request](int accept) { request->set_accept(accept); })
      ->check(CLI::Range(1, 100));
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Next(context, *arguments); };
  });
}

}  // namespace allometry::cli
