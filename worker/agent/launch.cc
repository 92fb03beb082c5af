#include "worker/agent/launch.h"

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "worker/agent/slots.h"
#include "worker/launch/mpirun.h"

namespace allometry::agent {
namespace {

constexpr char kAttemptVariable[] = "ALLOMETRY_ATTEMPT";
constexpr char kAgentVariable[] = "ALLOMETRY_AGENT";

std::vector<std::string> SrunPrefix(size_t ranks) {
  return {"srun",         absl::StrCat("--ntasks=", ranks),
          "--overlap",    "--mpi=pmix",
          "--input=0",    "--cpu-bind=none",
          "--unbuffered", "--kill-on-bad-exit=1"};
}

}  // namespace

std::string AttemptMark(absl::string_view attempt_name) {
  return absl::StrCat(kAttemptVariable, "=", attempt_name);
}

std::string AgentMark(absl::string_view agent_id) {
  return absl::StrCat(kAgentVariable, "=", agent_id);
}

absl::StatusOr<Launcher> ParseLauncher(absl::string_view name, bool in_slurm) {
  if (name == "mpirun") return Launcher::kMpirun;
  if (name == "srun") return Launcher::kSrun;
  if (name == "auto") return in_slurm ? Launcher::kSrun : Launcher::kMpirun;
  return absl::InvalidArgumentError(
      absl::StrCat("launcher '", name, "': allowed are auto, mpirun and srun"));
}

absl::StatusOr<LaunchCommand> MakeLaunchCommand(const LaunchRequest& request) {
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
  LaunchCommand command;
  if (ranks > 1) {
    command.arguments = request.launcher == Launcher::kSrun
                            ? SrunPrefix(ranks)
                            : launch::MpirunPrefix(ranks, request.is_root);
  }
  const std::string collective = ranks == 1 ? "self" : kind == "cuda" ? "nccl" : "mpi";
  command.arguments.insert(command.arguments.end(),
                           {request.trainer, request.run_dir, "--data-dir", request.data_dir,
                            "--leased", "--collective", collective});
  command.environment = {{kAttemptVariable, request.attempt_name},
                         {kAgentVariable, request.agent_id},
                         {"OMP_NUM_THREADS", "1"},
                         {"MKL_NUM_THREADS", "1"}};
  if (kind == "cuda") {
    command.environment.emplace_back("CUDA_VISIBLE_DEVICES", absl::StrJoin(indices, ","));
    // One host: NCCL's own sockets stay on it.
    if (request.launcher == Launcher::kMpirun) {
      command.environment.emplace_back("NCCL_SOCKET_IFNAME", "lo");
    }
  }
  if (ranks > 1 && request.launcher == Launcher::kMpirun) {
    for (const std::string& entry : launch::MpirunVariables()) {
      const std::pair<std::string, std::string> variable =
          absl::StrSplit(entry, absl::MaxSplits('=', 1));
      command.environment.push_back(variable);
    }
  }
  command.keeps_slurm = ranks > 1 && request.launcher == Launcher::kSrun;
  return command;
}

LaunchCommand MakeSelfTestCommand(const std::string& trainer, const std::string& device_kind,
                                  const std::string& folder, const std::string& agent_id) {
  LaunchCommand command;
  command.arguments = {trainer, "--self-test", folder, "--device", device_kind};
  command.environment = {{kAgentVariable, agent_id},
                         {kAttemptVariable, absl::StrCat(agent_id, "/self-test")},
                         {"OMP_NUM_THREADS", "1"},
                         {"MKL_NUM_THREADS", "1"}};
  return command;
}

bool IsInherited(const LaunchCommand& command, absl::string_view name) {
  if (launch::IsSlurmVariable(name)) return command.keeps_slurm;
  return !launch::IsLauncherVariable(name);
}

}  // namespace allometry::agent
