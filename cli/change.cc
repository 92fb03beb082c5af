// allo cancel, allo preempt, allo retry.
#include <cmath>
#include <iostream>

#include "CLI/CLI.hpp"
#include "cli/commands.h"
#include "coordinator/sweep/number.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;

struct Target {
  std::string name;
  std::vector<int64_t> run_ids;
};

std::shared_ptr<Target> AddTarget(CLI::App& command) {
  auto target = std::make_shared<Target>();
  command.add_option("SWEEP", target->name, "name of the sweep")->required();
  command.add_option("RUN,--run", target->run_ids,
                     "only these runs (ids as in 'allo runs'); default: all");
  return target;
}

template <class Request>
Request RequestFor(const Target& target) {
  Request request;
  request.set_name(target.name);
  for (const int64_t id : target.run_ids) request.add_run_ids(id);
  return request;
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
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::CancelSweepResponse response;
  const grpc::Status status = (*stub)->CancelSweep(
      MakeCall(context, kTimeoutS).get(), RequestFor<v1::CancelSweepRequest>(target), &response);
  if (!status.ok()) return Fail(context, status);
  return Print(context, "cancelled", response.cancelled());
}

int Retry(const Context& context, const Target& target) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::RetrySweepResponse response;
  const grpc::Status status = (*stub)->RetrySweep(
      MakeCall(context, kTimeoutS).get(), RequestFor<v1::RetrySweepRequest>(target), &response);
  if (!status.ok()) return Fail(context, status);
  if (!context.json && response.retried() == 0) {
    std::cout << "no run had failed or was cancelled; hosts that rest are tried now\n";
    return kExitOk;
  }
  return Print(context, "retried", response.retried());
}

int Preempt(const Context& context, const Target& target, const std::string& within) {
  auto request = RequestFor<v1::PreemptSweepRequest>(target);
  if (!within.empty()) {
    const absl::StatusOr<double> seconds = sweep::ParseDuration(within);
    if (!seconds.ok()) {
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("--within ", within, " ", seconds.status().message())));
    }
    request.set_within_ms(static_cast<int64_t>(std::ceil(*seconds * 1000)));
  }
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::PreemptSweepResponse response;
  const grpc::Status status =
      (*stub)->PreemptSweep(MakeCall(context, kTimeoutS).get(), request, &response);
  if (!status.ok()) return Fail(context, status);
  return Print(context, "preempted", response.preempted());
}

}  // namespace

void AddPreempt(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "preempt",
      "running runs write a checkpoint and give their devices back; they go on later, free of "
      "charge, with the devices that the sweep file now says");
  std::shared_ptr<Target> target = AddTarget(*command);
  auto within = std::make_shared<std::string>();
  command->add_option("--within", *within,
                      "a time such as 30s: what has not stopped by then is killed and goes on from "
                      "its last checkpoint");
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
