#include "worker/agent/launch.h"

#include "absl/strings/str_join.h"
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

absl::StatusOr<launch::Command> MakeLaunchCommand(const LaunchRequest& request) {
  if (request.devices.empty()) return absl::InvalidArgumentError("an attempt without a slot");
  const std::string kind = DeviceKind(request.devices[0]);
  std::vector<std::string> indices;
  for (const std::string& device : request.devices) {
    if (DeviceKind(device) != kind) {
      return absl::InvalidArgumentError(absl::StrCat("slots of two kinds in one attempt: ",
                                                     absl::StrJoin(request.devices, ", ")));
    }
    indices.push_back(DeviceIndex(device));
  }
  const size_t ranks = request.devices.size();
  const std::string collective = ranks == 1 ? "self" : kind == "cuda" ? "nccl" : "mpi";
  launch::Job job;
  job.program = {request.trainer, request.run_dir, "--data-dir", request.data_dir,
                 "--leased",      "--collective",  collective};
  job.device_kind = kind;
  job.hosts = {{"", indices}};
  job.environment = {{kAttemptVariable, request.attempt_name},
                     {kAgentVariable, request.agent_id},
                     {"OMP_NUM_THREADS", "1"},
                     {"MKL_NUM_THREADS", "1"}};
  job.is_root = request.is_root;
  return launch::MakeCommand(*request.launcher, job);
}

launch::Command MakeSelfTestCommand(const std::string& trainer, const std::string& device_kind,
                                    const std::string& folder, const std::string& agent_id) {
  launch::Command command;
  command.arguments = {trainer, "--self-test", folder, "--device", device_kind};
  command.environment = {{kAgentVariable, agent_id},
                         {kAttemptVariable, absl::StrCat(agent_id, "/self-test")},
                         {"OMP_NUM_THREADS", "1"},
                         {"MKL_NUM_THREADS", "1"}};
  return command;
}

}  // namespace allometry::agent
