#include "worker/launch/start_plan.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "nlohmann/json.hpp"
#include "worker/launch/foreign_variables.h"

namespace allometry::launch {
namespace {

using Json = nlohmann::json;

std::string PlanPath(const std::string& attempt_dir) { return attempt_dir + "/start.json"; }

bool IsProgram(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

absl::Status CheckFolder(const std::string& working_dir) {
  struct stat info {};
  if (stat(working_dir.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("its command's folder '", working_dir, "' is not on this host"));
}

absl::Status CheckFiles(const StartPlan& plan) {
  for (const auto& [name, hash] : plan.files) {
    const std::string path = absl::StrCat(plan.working_dir, "/", name);
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

}  // namespace

absl::Status WriteStartPlan(const std::string& attempt_dir, const StartPlan& plan) {
  Json processes = Json::array();
  for (const PlannedProcess& process : plan.processes) {
    processes.push_back({{"arguments", process.arguments}, {"environment", process.environment}});
  }
  const Json json = {
      {"processes", processes},      {"working_dir", plan.working_dir},
      {"files", plan.files},         {"wrapper", plan.wrapper},
      {"inherited", plan.inherited}, {"launcher_variables", plan.launcher_variables}};
  return WriteFileAtomically(PlanPath(attempt_dir),
                             json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

absl::StatusOr<StartPlan> ReadStartPlan(const std::string& attempt_dir) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, ReadFile(PlanPath(attempt_dir)));
  StartPlan plan;
  try {
    const Json json = Json::parse(text);
    for (const Json& process : json.at("processes")) {
      plan.processes.push_back({process.at("arguments"), process.at("environment")});
    }
    plan.working_dir = json.at("working_dir");
    plan.files = json.at("files").get<std::map<std::string, std::string>>();
    plan.wrapper = json.at("wrapper").get<std::vector<std::string>>();
    plan.inherited = json.at("inherited").get<std::vector<std::string>>();
    plan.launcher_variables = json.at("launcher_variables");
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(PlanPath(attempt_dir), ": ", error.what()));
  }
  return plan;
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

absl::StatusOr<Command> CommandOf(const StartPlan& plan, size_t rank) {
  if (rank >= plan.processes.size() || plan.processes[rank].arguments.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no process ", rank, " of ", plan.processes.size()));
  }
  std::map<std::string, std::string> variables = plan.processes[rank].environment;
  ALLO_RETURN_IF_ERROR(CheckFolder(plan.working_dir));
  const char* path = std::getenv("PATH");
  variables.emplace("PATH", path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
  Command command;
  command.arguments = plan.wrapper;
  command.arguments.insert(command.arguments.end(), plan.processes[rank].arguments.begin(),
                           plan.processes[rank].arguments.end());
  ALLO_ASSIGN_OR_RETURN(command.arguments[0],
                        FindProgram(command.arguments[0], plan.working_dir, variables.at("PATH")));
  ALLO_RETURN_IF_ERROR(CheckFiles(plan));
  command.working_dir = plan.working_dir;
  command.environment.assign(variables.begin(), variables.end());
  command.is_foreign = true;
  command.kept = plan.inherited;
  for (char** entry = environ; plan.launcher_variables && *entry != nullptr; ++entry) {
    const absl::string_view name(*entry, std::strcspn(*entry, "="));
    if (IsForeignVariable(name)) command.kept.emplace_back(name);
  }
  return command;
}

}  // namespace allometry::launch
