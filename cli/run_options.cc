#include "cli/run_options.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;

}  // namespace

void AddRunOptions(CLI::App& command, RunFilterWords& words) {
  // One list of ids from two options: RUN takes several arguments, --run one at a time.
  const auto add_ids = [&words](const std::vector<int64_t>& ids) {
    words.run_ids.insert(words.run_ids.end(), ids.begin(), ids.end());
  };
  const char* const only_runs = "only these runs, ids as in 'allo runs': 3,4";
  command.add_option_function<std::vector<int64_t>>("RUN", add_ids, only_runs)->delimiter(',');
  command.add_option_function<std::vector<int64_t>>("--run", add_ids, only_runs)
      ->delimiter(',')
      ->allow_extra_args(false);
  const auto several = [&](const char* name, std::vector<std::string>& into, const char* help) {
    command.add_option(name, into, help)->delimiter(',')->allow_extra_args(false);
  };
  several("--state", words.states, "only these: waiting, running, done, failed, cancelled");
  several("--size", words.sizes, "only these sizes: 40k,160k");
  several("--seed", words.seeds, "only these seeds");
  several("--rate", words.rates, "only these learning rates");
}

std::optional<int> ChooseRuns(const Context& context, v1::ClientService::Stub& stub,
                              const std::string& sweep, const RunFilterWords& words,
                              google::protobuf::RepeatedField<int64_t>& run_ids) {
  if (words.ChoosesAll()) return std::nullopt;
  v1::GetSweepRequest request;
  request.set_name(sweep);
  v1::GetSweepResponse response;
  const grpc::Status status = stub.GetSweep(MakeCall(context, kTimeoutS).get(), request, &response);
  if (!status.ok()) return Fail(context, status);
  const absl::StatusOr<std::vector<v1::Run>> runs =
      FilterRuns({response.runs().begin(), response.runs().end()}, words);
  if (!runs.ok()) return Fail(runs.status());
  if (runs->empty()) {
    return Fail(absl::NotFoundError(
        absl::StrCat("allo: ", sweep, " has no such run; 'allo runs ", sweep, "' lists them all")));
  }
  for (const v1::Run& run : *runs) run_ids.Add(run.run_id());
  return std::nullopt;
}

}  // namespace allometry::cli
