// allo cancel, allo preempt, allo retry.
#include <iostream>
#include <optional>

#include "CLI/CLI.hpp"
#include "base/command_line.h"
#include "cli/commands.h"
#include "cli/run_options.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;

struct Target {
  std::string name;
  RunFilterWords runs;
};

std::shared_ptr<Target> AddTarget(CLI::App& command) {
  auto target = std::make_shared<Target>();
  command.add_option("SWEEP", target->name, "name of the sweep")->required();
  AddRunOptions(command, target->runs);
  return target;
}

// Sends the request for the runs of the target. Set: the exit code of what went wrong.
template <class Request, class Response>
std::optional<int> Send(const Context& context, const Target& target, Request request,
                        grpc::Status (v1::ClientService::Stub::*method)(grpc::ClientContext*,
                                                                        const Request&, Response*),
                        Response* response) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  request.set_name(target.name);
  const std::optional<int> over =
      ChooseRuns(context, **stub, target.name, target.runs, *request.mutable_run_ids());
  if (over) return over;
  const grpc::Status status =
      (**stub.*method)(MakeCall(context, kTimeoutS).get(), request, response);
  if (!status.ok()) return Fail(context, status);
  return std::nullopt;
}

int Print(const Context& context, const char* word, int count) {
  if (context.json) {
    std::cout << "{\"" << word << "\": " << count << "}\n";
  } else {
    std::cout << word << ": " << count << (count == 1 ? " run\n" : " runs\n");
  }
  return kExitOk;
}

int Cancel(const Context& context, const Target& target) {
  v1::CancelSweepResponse response;
  const std::optional<int> over = Send(context, target, v1::CancelSweepRequest(),
                                       &v1::ClientService::Stub::CancelSweep, &response);
  return over ? *over : Print(context, "cancelled", response.cancelled());
}

int Retry(const Context& context, const Target& target) {
  v1::RetrySweepResponse response;
  const std::optional<int> over = Send(context, target, v1::RetrySweepRequest(),
                                       &v1::ClientService::Stub::RetrySweep, &response);
  if (over) return *over;
  if (!context.json && response.retried() == 0) {
    std::cout << "no run had failed or was cancelled; hosts that rest are tried now\n";
    return kExitOk;
  }
  return Print(context, "retried", response.retried());
}

int Preempt(const Context& context, const Target& target, int64_t within_ms) {
  v1::PreemptSweepRequest request;
  request.set_within_ms(within_ms);
  v1::PreemptSweepResponse response;
  const std::optional<int> over =
      Send(context, target, request, &v1::ClientService::Stub::PreemptSweep, &response);
  return over ? *over : Print(context, "preempted", response.preempted());
}

}  // namespace

void AddPreempt(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "preempt",
      "running runs write a checkpoint and give their devices back; they go on later, free of "
      "charge, with the devices that the sweep file now says");
  std::shared_ptr<Target> target = AddTarget(*command);
  auto within = std::make_shared<int64_t>(0);
  AddDurationInMs(*command, "--within", *within,
                  "a time such as 30s: what has not stopped by then is killed and goes on from its "
                  "last checkpoint; 0: no limit but the worker's own (--stop-within)");
  command->callback([&context, target, within] {
    context.run = [&context, target, within] { return Preempt(context, *target, *within); };
  });
}

void AddCancel(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "cancel",
      "cancel a sweep's runs; running ones write a checkpoint first ('allo retry' resumes)");
  std::shared_ptr<Target> target = AddTarget(*command);
  command->callback([&context, target] {
    context.run = [&context, target] { return Cancel(context, *target); };
  });
}

void AddRetry(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "retry", "failed and cancelled runs wait for a worker again, from their last checkpoint");
  std::shared_ptr<Target> target = AddTarget(*command);
  command->callback(
      [&context, target] { context.run = [&context, target] { return Retry(context, *target); }; });
}

}  // namespace allometry::cli
