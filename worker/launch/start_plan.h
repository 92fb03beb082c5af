// The processes of a sweep file's command (docs/trainer.md) in one attempt: what the agent writes
// into ATTEMPT_DIR/start.json, and allo-supervisor reads on each host and starts.
//
// A file and not a command line, because other users of a host see command lines, and `env` of a
// sweep file may hold a key.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "worker/launch/launcher.h"

namespace allometry::launch {

struct PlannedProcess {
  std::vector<std::string> arguments;              // placeholders replaced
  std::map<std::string, std::string> environment;  // over the host's own
};

struct StartPlan {
  std::vector<PlannedProcess> processes;  // one for each rank of the launcher
  std::string working_dir;
  std::map<std::string, std::string> files;  // HashFileHex by path below working_dir
  std::vector<std::string> wrapper;    // a program that starts the command: apptainer exec ...
  std::vector<std::string> inherited;  // variables of the host that go on
  // So do those of the launcher and the batch system, which tell a process its rank.
  bool launcher_variables = false;
};

absl::Status WriteStartPlan(const std::string& attempt_dir, const StartPlan& plan);
// InvalidArgument: the file is no plan.
absl::StatusOr<StartPlan> ReadStartPlan(const std::string& attempt_dir);

// The program, looked for in `path` (folders with colons) where it has no '/', otherwise in
// `working_dir`. NotFound says where it is not.
absl::StatusOr<std::string> FindProgram(const std::string& name, const std::string& working_dir,
                                        const std::string& path);

// The command of process `rank` on this host. NotFound where the folder or the program is not here;
// InvalidArgument where a file is not as it was submitted, or there is no such rank.
absl::StatusOr<Command> CommandOf(const StartPlan& plan, size_t rank);

}  // namespace allometry::launch
