#include "worker/agent/command_launch.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "run/placeholders.h"
#include "run/trainer_rules.h"

namespace allometry::agent {
namespace {

// docs/trainer.md lists them.
constexpr absl::string_view kInherited[] = {"PATH",   "HOME",   "USER", "LOGNAME",        "LANG",
                                            "LC_ALL", "TMPDIR", "TZ",   "LD_LIBRARY_PATH"};

bool IsProgram(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

absl::StatusOr<std::string> FindProgram(const std::string& name, const std::string& working_dir,
                                        const std::string& path) {
  if (absl::StrContains(name, '/')) {
    const std::string program = name[0] == '/' ? name : absl::StrCat(working_dir, "/", name);
    if (IsProgram(program)) return program;
    return absl::NotFoundError(
        absl::StrCat("its command '", name, "' is not a program on this host (", program, ")"));
  }
  for (const absl::string_view folder : absl::StrSplit(path, ':', absl::SkipEmpty())) {
    const std::string program = absl::StrCat(folder, "/", name);
    if (IsProgram(program)) return program;
  }
  return absl::NotFoundError(
      absl::StrCat("its command '", name, "' is no program in this host's PATH, ", path));
}

absl::Status CheckPolicy(const std::string& program, const CommandPolicy& policy) {
  const auto& allowed = policy.programs;
  if (!policy.allowed) {
    return absl::PermissionDeniedError(
        absl::StrCat("its trainer is the command '", program,
                     "', and this worker runs no commands of sweep files: start it with "
                     "--allow-commands"));
  }
  if (allowed.empty() || std::find(allowed.begin(), allowed.end(), program) != allowed.end()) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat("its trainer is the command '", program,
                                                  "', and this worker runs only ",
                                                  absl::StrJoin(allowed, ", ")));
}

absl::Status CheckFiles(const run::Trainer& trainer) {
  ALLO_ASSIGN_OR_RETURN(const auto files, run::StringMapOf(trainer.files));
  for (const auto& [name, hash] : files) {
    const std::string path = absl::StrCat(trainer.working_dir, "/", name);
    const absl::StatusOr<std::string> now = HashFileHex(path);
    if (!now.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a file of its command: ", now.status().message()));
    }
    if (*now != hash) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a file of its command, ", path, ", is not as it was submitted (hash ", *now, ", then ",
          hash, "): put it back and 'allo retry', or submit a sweep of another name"));
    }
  }
  return absl::OkStatus();
}

using Variables = std::map<std::string, std::string>;

absl::Status FindFolderAndProgram(const std::string& working_dir, Variables& variables,
                                  launch::Command& command) {
  struct stat info {};
  if (stat(working_dir.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return absl::NotFoundError(
        absl::StrCat("its command's folder '", working_dir, "' is not on this host"));
  }
  command.working_dir = working_dir;
  const char* path = std::getenv("PATH");
  variables.emplace("PATH", path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
  ALLO_ASSIGN_OR_RETURN(command.arguments[0],
                        FindProgram(command.arguments[0], working_dir, variables.at("PATH")));
  return absl::OkStatus();
}

void SetForeign(const Variables& variables, launch::Command& command) {
  command.environment.assign(variables.begin(), variables.end());
  command.is_foreign = true;
  for (const absl::string_view name : kInherited) command.kept.emplace_back(name);
}

}  // namespace

absl::StatusOr<CommandPolicy> ParseCommandPolicy(const std::string& text, bool own_coordinator) {
  if (text == "auto") return CommandPolicy{own_coordinator, {}};
  if (text == "none") return CommandPolicy{};
  if (text == "all" || text.empty()) return CommandPolicy{true, {}};
  CommandPolicy policy{true, absl::StrSplit(text, ',')};
  for (const std::string& program : policy.programs) {
    if (!program.empty() && program != "all" && program != "none" && program != "auto") continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--allow-commands '", text, "': allowed are all, none, or programs with commas"));
  }
  return policy;
}

absl::StatusOr<run::RunSpec> WithArgs(run::RunSpec spec, const std::string& run_dir,
                                      const std::string& data_dir) {
  ALLO_ASSIGN_OR_RETURN(
      spec.identity.trainer.args,
      run::ReplaceInJson(spec.identity.trainer.args, run::ValuesOf(spec, run_dir, data_dir)));
  return spec;
}

absl::StatusOr<launch::Command> MakeTrainerCommand(const run::RunSpec& spec,
                                                   const LaunchRequest& request,
                                                   const CommandPolicy& policy) {
  const run::Trainer& trainer = spec.identity.trainer;
  const run::PlaceholderValues values = run::ValuesOf(spec, request.run_dir, request.data_dir);
  launch::Command command;
  ALLO_ASSIGN_OR_RETURN(command.arguments, run::StringsOf(trainer.command));
  for (std::string& word : command.arguments) {
    ALLO_ASSIGN_OR_RETURN(word, run::Replace(word, values));
  }
  if (command.arguments.empty()) return absl::InvalidArgumentError("its command is empty");
  ALLO_RETURN_IF_ERROR(CheckPolicy(command.arguments[0], policy));
  ALLO_ASSIGN_OR_RETURN(auto variables, run::StringMapOf(trainer.environment));
  for (auto& [name, value] : variables) {
    ALLO_ASSIGN_OR_RETURN(value, run::Replace(value, values));
  }

  ALLO_RETURN_IF_ERROR(FindFolderAndProgram(trainer.working_dir, variables, command));
  ALLO_RETURN_IF_ERROR(CheckFiles(trainer));

  if (request.hosts.size() != 1 || !request.hosts[0].is_here) {
    return absl::InvalidArgumentError(
        "its trainer is a command, which is started on the worker's own host alone: this run's "
        "devices are on others");
  }
  if (spec.device == run::DeviceKind::kCuda) {
    variables.insert_or_assign("CUDA_VISIBLE_DEVICES",
                               absl::StrJoin(request.hosts[0].devices, ","));
  } else {
    variables.emplace("OMP_NUM_THREADS", "1");  // a device is a core
  }
  for (const auto& [name, value] : MarkedEnvironment(request.attempt_name, request.agent_id)) {
    variables.insert_or_assign(name, value);
  }
  variables["ALLOMETRY_RUN_DIR"] = request.run_dir;
  variables["ALLOMETRY_DATA_DIR"] = request.data_dir;
  variables["ALLOMETRY_CONTRACT"] = run::kContractVersion;
  SetForeign(variables, command);
  return command;
}

absl::StatusOr<launch::Command> MakeDescribeCommand(const std::vector<std::string>& words,
                                                    const run::PlaceholderValues& values,
                                                    const std::string& working_dir,
                                                    const CommandPolicy& policy) {
  launch::Command command;
  for (const std::string& word : words) {
    ALLO_ASSIGN_OR_RETURN(command.arguments.emplace_back(), run::Replace(word, values));
  }
  if (command.arguments.empty()) return absl::InvalidArgumentError("its command is empty");
  ALLO_RETURN_IF_ERROR(CheckPolicy(command.arguments[0], policy));
  std::map<std::string, std::string> variables;
  ALLO_RETURN_IF_ERROR(FindFolderAndProgram(working_dir, variables, command));
  variables.emplace("OMP_NUM_THREADS", "1");
  SetForeign(variables, command);
  return command;
}

}  // namespace allometry::agent
