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
  std::vector<std::string> removed_prefixes;  // variables of the agent's own that do not go on
};

// InvalidArgument when `devices` is empty or mixes kinds.
absl::StatusOr<LaunchCommand> MakeLaunchCommand(const LaunchRequest& request);

// "ALLOMETRY_ATTEMPT=NAME": what marks every process of one attempt, and
// "ALLOMETRY_AGENT=ID": of every attempt of one agent.
std::string AttemptMark(absl::string_view attempt_name);
std::string AgentMark(absl::string_view agent_id);

}  // namespace allometry::agent
