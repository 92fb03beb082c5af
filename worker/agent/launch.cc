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

absl::StatusOr<launch::Command> MakeLaunchCommand(const LaunchRequest& request) {
  launch::Job job;
  job.hosts = request.hosts;
  job.settings = request.settings;
  const size_t ranks = launch::RankCount(job);
  if (ranks == 0) return absl::InvalidArgumentError("an attempt without a slot");
  const run::DeviceKind kind = KindOfSlot(request.hosts.front().devices.front());
  for (launch::HostRanks& host : job.hosts) {
    for (std::string& device : host.devices) {
      if (KindOfSlot(device) != kind) {
        return absl::InvalidArgumentError(absl::StrCat(
            "slots of two kinds in one attempt: ", request.hosts.front().devices.front(), ", ",
            device));
      }
      device = run::IndexOfDevice(device);
    }
  }
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
