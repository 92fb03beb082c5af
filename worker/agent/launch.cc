#include "worker/agent/launch.h"

#include "absl/strings/str_join.h"
#include "worker/agent/slots.h"

namespace allometry::agent {
namespace {

constexpr char kAttemptVariable[] = "ALLOMETRY_ATTEMPT";
constexpr char kAgentVariable[] = "ALLOMETRY_AGENT";

std::vector<std::string> MpirunPrefix(size_t ranks, bool is_root) {
  std::vector<std::string> prefix = {"mpirun", "-np", absl::StrCat(ranks)};
  if (is_root) prefix.push_back("--allow-run-as-root");
  // The slots are the coordinator's business, so Open MPI's own counting and binding are off;
  // containers forbid the system call behind vader's single copy. Ranks of one host talk through
  // shared memory, so none of them listens on the network, and mpirun names the loopback alone as
  // its address (docs/security.md).
  prefix.insert(prefix.end(),
                {"--oversubscribe", "--bind-to", "none", "--mca", "btl_vader_single_copy_mechanism",
                 "none", "--mca", "btl", "self,vader", "--mca", "oob_tcp_if_include", "lo"});
  return prefix;
}

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
    command.arguments = request.launcher == Launcher::kSrun ? SrunPrefix(ranks)
                                                            : MpirunPrefix(ranks, request.is_root);
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
  // An agent that was itself started by mpirun or srun must not lend the trainer its own identity,
  // and an mpirun of this host must not ask Slurm for other hosts.
  command.removed_prefixes = {"OMPI_", "PMIX_", "PMI_"};
  if (request.launcher != Launcher::kSrun) command.removed_prefixes.push_back("SLURM_");
  return command;
}

}  // namespace allometry::agent
