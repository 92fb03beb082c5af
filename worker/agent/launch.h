// The command line and environment that start an attempt's trainer.
//
//   one rank      TRAINER RUN_DIR --data-dir D --leased --collective self
//   k ranks       mpirun -np k ... TRAINER RUN_DIR --data-dir D --leased --collective mpi | nccl
//   under Slurm   srun --ntasks=k ... TRAINER ...     (when this process is in an allocation)
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace allometry::agent {

enum class Launcher { kMpirun, kSrun };

// "mpirun", "srun", or "auto": srun inside a Slurm allocation (`in_slurm`).
absl::StatusOr<Launcher> ParseLauncher(absl::string_view name, bool in_slurm);

struct LaunchRequest {
  std::string trainer;  // the program
  std::string run_dir;
  std::string data_dir;
  std::vector<std::string> devices;  // one a rank, all of one kind: {"cuda:0", "cuda:1"}
  Launcher launcher = Launcher::kMpirun;
  bool is_root = false;      // Open MPI refuses root unless told
  std::string attempt_name;  // RunRoot::AttemptName
  std::string agent_id;
};

struct LaunchCommand {
  std::vector<std::string> arguments;  // arguments[0] is looked for in PATH
  std::vector<std::pair<std::string, std::string>> environment;  // set over the agent's own
  bool keeps_slurm = false;  // srun starts it: Slurm's variables go on
};

// Whether a variable of the agent's own goes on to what the command starts. A batch system's or a
// launcher's does not: it would lend the trainer the agent's own rank, and mpirun other hosts.
bool IsInherited(const LaunchCommand& command, absl::string_view name);

// InvalidArgument when `devices` is empty or mixes kinds.
absl::StatusOr<LaunchCommand> MakeLaunchCommand(const LaunchRequest& request);

// The same trainer, asked whether it works here: `folder` is where it tries to write.
LaunchCommand MakeSelfTestCommand(const std::string& trainer, const std::string& device_kind,
                                  const std::string& folder, const std::string& agent_id);

// "ALLOMETRY_ATTEMPT=NAME": what marks every process of one attempt, and
// "ALLOMETRY_AGENT=ID": of every attempt of one agent.
std::string AttemptMark(absl::string_view attempt_name);
std::string AgentMark(absl::string_view agent_id);

}  // namespace allometry::agent
