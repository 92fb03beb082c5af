#include "worker/agent/launch.h"

#include "absl/strings/str_join.h"
#include "run/device.h"
#include "worker/agent/slots.h"

namespace allometry::agent {
namespace {

constexpr char kAttemptVariable[] = "ALLOMETRY_ATTEMPT";
constexpr char kAgentVariable[] = "ALLOMETRY_AGENT";

}  // namespace

std::string AttemptMark(absl::string_view attempt_name) {
  return absl::StrCat(kAttemptVariable, "=", attempt_name);
}

std::string AgentMark(absl::string_view agent_id) {
  return absl::StrCat(kAgentVariable, "=", agent_id);
}

std::vector<std::pair<std::string, std::string>> MarkedEnvironment(const std::string& attempt_name,
                                                                   const std::string& agent_id) {
  return {{kAttemptVariable, attempt_name}, {kAgentVariable, agent_id}};
}

absl::StatusOr<std::vector<launch::HostRanks>> DeviceIndices(std::vector<launch::HostRanks> hosts) {
  if (hosts.empty() || hosts.front().devices.empty()) {
    return absl::InvalidArgumentError("an attempt without a slot");
  }
  const std::string first = hosts.front().devices.front();
  for (launch::HostRanks& host : hosts) {
    for (std::string& device : host.devices) {
      if (KindOfSlot(device) != KindOfSlot(first)) {
        return absl::InvalidArgumentError(
            absl::StrCat("slots of two kinds in one attempt: ", first, ", ", device));
      }
      device = run::IndexOfDevice(device);
    }
  }
  return hosts;
}

absl::StatusOr<launch::Command> MakeLaunchCommand(const LaunchRequest& request) {
  launch::Job job;
  ALLO_ASSIGN_OR_RETURN(job.hosts, DeviceIndices(request.hosts));
  job.settings = request.settings;
  const size_t ranks = launch::RankCount(job);
  const run::DeviceKind kind = KindOfSlot(request.hosts.front().devices.front());
  const std::string collective = ranks == 1                       ? "self"
                                 : kind == run::DeviceKind::kCuda ? "nccl"
                                                                  : "mpi";
  job.program = {request.trainer, request.run_dir, "--data-dir", request.data_dir,
                 "--leased",      "--collective",  collective};
  job.device_kind = kind;
  job.environment = {{kAttemptVariable, request.attempt_name},
                     {kAgentVariable, request.agent_id},
                     {"OMP_NUM_THREADS", "1"},
                     {"MKL_NUM_THREADS", "1"}};
  return launch::MakeCommand(*request.launcher, job);
}

launch::Command MakeSelfTestCommand(const std::string& trainer, run::DeviceKind device_kind,
                                    const std::string& folder, const std::string& agent_id) {
  launch::Command command;
  command.arguments = {trainer, "--self-test", folder, "--device", run::NameOf(device_kind)};
  command.environment = {{kAgentVariable, agent_id},
                         {kAttemptVariable, absl::StrCat(agent_id, "/self-test")},
                         {"OMP_NUM_THREADS", "1"},
                         {"MKL_NUM_THREADS", "1"}};
  return command;
}

}  // namespace allometry::agent
