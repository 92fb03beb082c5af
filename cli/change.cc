// allo cancel, allo retry.
#include <iostream>

#include "CLI/CLI.hpp"
#include "cli/commands.h"

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
  command.add_option("--run", target->run_ids,
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
  return Print(context, "retried", response.retried());
}

}  // namespace

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
