// Starts the command of a sweep file in place of allo-trainer (docs/trainer.md). The command is
// started as it is written, without a shell, in its own folder. It gets its own environment
// variables and few of the host's. A launcher of worker/launch starts allo-supervisor, on each host
// or for each device; allo-supervisor starts the command.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "run/placeholders.h"
#include "run/run_spec.h"
#include "worker/agent/launch.h"

namespace allometry::agent {

// Which commands this worker starts. A sweep file that names a program is as good as a login: so
// none, unless its owner says so, or the coordinator is this user's own on this machine.
struct CommandPolicy {
  bool allowed = false;
  std::vector<std::string> programs;  // as they are named in commands; empty: all
};

// "all", "none" or a list of programs with commas; "auto" allows all where `own_coordinator`.
absl::StatusOr<CommandPolicy> ParseCommandPolicy(const std::string& text, bool own_coordinator);

// Writes the attempt's start.json, and returns what starts it. PermissionDenied where the policy
// has it so; InvalidArgument where the command is for one host and the devices are on several.
// Where a process is to be on this host: NotFound, if the program or its folder is not here, and
// InvalidArgument, if a file of it is not as it was submitted; other hosts say so when they start.
// `spec` is that of run.json; `request.trainer` is not looked at.
absl::StatusOr<launch::Command> MakeTrainerCommand(const run::RunSpec& spec,
                                                   const LaunchRequest& request,
                                                   const CommandPolicy& policy);

// trainer.describe_command of a size, whose placeholders are `values`. Errors as above.
absl::StatusOr<launch::Command> MakeDescribeCommand(const std::vector<std::string>& words,
                                                    const run::PlaceholderValues& values,
                                                    const std::string& working_dir,
                                                    const CommandPolicy& policy);

// `spec` with the placeholders of its args replaced: what run.json says.
absl::StatusOr<run::RunSpec> WithArgs(run::RunSpec spec, const std::string& run_dir,
                                      const std::string& data_dir);

}  // namespace allometry::agent
