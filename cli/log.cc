// allo log: the end of a run's log, also while it runs.
#include <chrono>
#include <iostream>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/proto_json.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;
// A worker is asked at its next heartbeat and answers at the one after it.
constexpr std::chrono::milliseconds kBetweenLooks(250);
constexpr int kMostLooks = 40;

bool IsUnderWay(const v1::AttemptSummary& attempt) { return attempt.state() == "LEASED"; }

// The run, with the log of the attempt under way if its worker sends it in time.
grpc::Status GetRun(const Context& context, v1::ClientService::Stub& stub, int64_t run_id,
                    v1::GetRunResponse* response) {
  v1::GetRunRequest request;
  request.set_run_id(run_id);
  request.set_with_log(true);
  for (int look = 0;; ++look) {
    const grpc::Status status = stub.GetRun(MakeCall(context, kTimeoutS).get(), request, response);
    if (!status.ok() || response->attempts().empty()) return status;
    const v1::AttemptSummary& newest = *response->attempts().rbegin();
    if (!IsUnderWay(newest) || newest.log_unix_us() != 0 || look == kMostLooks) return status;
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

std::string LogText(const v1::AttemptSummary& attempt) {
  if (IsUnderWay(attempt)) {
    if (attempt.log_unix_us() == 0) {
      return "its worker has sent no log yet: it writes none, or is slow to answer\n";
    }
    return absl::StrCat(attempt.log_tail(), "\n");
  }
  return attempt.message().empty() ? "nothing is kept of its log: it ended as it should\n"
                                   : absl::StrCat(attempt.message(), "\n");
}

int Log(const Context& context, int64_t run_id) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::GetRunResponse response;
  const grpc::Status status = GetRun(context, **stub, run_id, &response);
  if (!status.ok()) return Fail(context, status);
  if (context.json) {
    std::cout << ToJson(response).dump(2) << "\n";
    return kExitOk;
  }
  if (response.attempts().empty()) {
    std::cout << "run " << run_id << " was not started yet: " << WhyWord(response.run()) << "\n";
    return kExitOk;
  }
  const v1::AttemptSummary& newest = *response.attempts().rbegin();
  std::cerr << absl::StrFormat("run %d of sweep %s (%s), attempt %d on %s, step %d: %s\n", run_id,
                               response.sweep(), response.run().size(), newest.attempt(),
                               newest.host(), response.run().step(), StateWord(response.run()));
  std::cout << LogText(newest);
  return kExitOk;
}

}  // namespace

void AddLog(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "log", "the end of a run's log: of the attempt under way, or of how the last one failed");
  auto run_id = std::make_shared<int64_t>(0);
  command
      ->add_option("RUN,--run", *run_id, "id of the run, as in 'allo runs'; with or without --run")
      ->required();
  command->callback(
      [&context, run_id] { context.run = [&context, run_id] { return Log(context, *run_id); }; });
}

}  // namespace allometry::cli
