#include "worker/agent/command_launch.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/host_name.h"
#include "run/placeholders.h"
#include "run/trainer_rules.h"
#include "worker/launch/start_plan.h"

namespace allometry::agent {
namespace {

// docs/trainer.md lists them.
constexpr const char* kInherited[] = {"PATH",   "HOME",   "USER", "LOGNAME",        "LANG",
                                      "LC_ALL", "TMPDIR", "TZ",   "LD_LIBRARY_PATH"};

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

// Below the ports that Linux gives to whoever asks for none (32768 and above).
constexpr int kFirstPort = 20'000, kPorts = 12'000, kTries = 100;

bool IsFreeHere(int port) {
  const int handle = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (handle < 0) return true;  // not to be told
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<uint16_t>(port));
  const bool taken =
      bind(handle, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
      errno == EADDRINUSE;
  close(handle);
  return !taken;
}

// Another one for each attempt, because another host cannot be asked which ports are free there.
int MainPort(const LaunchRequest& request) {
  const size_t hash = std::hash<std::string>()(request.attempt_name);
  int port = 0;
  for (int i = 0; i < kTries; ++i) {
    port = kFirstPort + static_cast<int>((hash + static_cast<size_t>(i)) % kPorts);
    if (!request.hosts.front().is_here || IsFreeHere(port)) break;
  }
  return port;
}

// Where the other hosts reach the first.
std::string MainAddress(const std::vector<launch::HostRanks>& hosts) {
  if (hosts.size() == 1) return "127.0.0.1";
  if (!hosts.front().host.empty() && hosts.front().host != "localhost") return hosts.front().host;
  return HostName();
}

absl::Status CheckHosts(const run::Trainer& trainer, const std::vector<launch::HostRanks>& hosts) {
  if (hosts.size() == 1 || run::KnowsOtherHosts(trainer)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "its command does not ask for other hosts, and this run's devices are on ", hosts.size(),
      " (",
      absl::StrJoin(hosts, ", ",
                    [](std::string* out, const auto& host) { out->append(host.host); }),
      "): give it {hosts}, {host_rank} and {main_address}, or {rank} to have a process for each "
      "device (docs/trainer.md)"));
}

// One for each host, or for each device of each.
std::vector<run::ProcessPlace> PlacesOf(bool for_each_device, const LaunchRequest& request) {
  std::vector<run::ProcessPlace> places;
  run::ProcessPlace place;
  place.hosts = static_cast<int>(request.hosts.size());
  place.main_address = MainAddress(request.hosts);
  place.main_port = MainPort(request);
  for (const launch::HostRanks& host : request.hosts) {
    place.host_devices = static_cast<int>(host.devices.size());
    const int here = for_each_device ? place.host_devices : 1;
    for (place.local_rank = 0; place.local_rank < here; ++place.local_rank, ++place.rank) {
      places.push_back(place);
    }
    ++place.host_rank;
  }
  return places;
}

absl::StatusOr<launch::PlannedProcess> PlanProcess(const run::RunSpec& spec,
                                                   const LaunchRequest& request,
                                                   const std::vector<launch::HostRanks>& indexed,
                                                   const run::ProcessPlace& place) {
  const run::Trainer& trainer = spec.identity.trainer;
  run::PlaceholderValues values = run::ValuesOf(spec, request.run_dir, request.data_dir);
  run::AddPlace(place, values);
  launch::PlannedProcess process;
  ALLO_ASSIGN_OR_RETURN(process.arguments, run::StringsOf(trainer.command));
  for (std::string& word : process.arguments) {
    ALLO_ASSIGN_OR_RETURN(word, run::Replace(word, values));
  }
  ALLO_ASSIGN_OR_RETURN(process.environment, run::StringMapOf(trainer.environment));
  std::map<std::string, std::string>& variables = process.environment;
  for (auto& [name, value] : variables) {
    ALLO_ASSIGN_OR_RETURN(value, run::Replace(value, values));
  }
  if (spec.device != run::DeviceKind::kCuda) {
    variables.emplace("OMP_NUM_THREADS", "1");  // a device is a core
  } else if (!request.launcher->names_gpus) {
    variables.insert_or_assign("CUDA_VISIBLE_DEVICES",
                               launch::VisibleGpus(indexed[static_cast<size_t>(place.host_rank)]));
  }
  for (const auto& [name, value] : MarkedEnvironment(request.attempt_name, request.agent_id)) {
    variables.insert_or_assign(name, value);
  }
  variables["ALLOMETRY_RUN_DIR"] = request.run_dir;
  variables["ALLOMETRY_DATA_DIR"] = request.data_dir;
  variables["ALLOMETRY_CONTRACT"] = run::kContractVersion;
  variables["ALLOMETRY_HOST_RANK"] = absl::StrCat(place.host_rank);
  variables["ALLOMETRY_HOSTS"] = absl::StrCat(place.hosts);
  if (run::IsForEachDevice(trainer)) {
    variables["ALLOMETRY_RANK"] = absl::StrCat(place.rank);
    variables["ALLOMETRY_RANKS"] = absl::StrCat(spec.ranks);
  }
  return process;
}

// Options of the launcher begin with a dash; a wrapper and its words follow them. So an option and
// its value are one word (CheckWrapper).
std::vector<std::string>::const_iterator WrapperIn(const std::vector<std::string>& arguments) {
  return std::find_if(arguments.begin(), arguments.end(),
                      [](const std::string& word) { return !absl::StartsWith(word, "-"); });
}

// Of the value of an option that is a word of its own, which would be taken as the wrapper.
absl::Status CheckWrapper(const std::vector<std::string>& arguments,
                          std::vector<std::string>::const_iterator wrapper,
                          const std::string& working_dir) {
  if (wrapper == arguments.begin() || wrapper == arguments.end()) return absl::OkStatus();
  const char* path = std::getenv("PATH");
  if (launch::FindProgram(*wrapper, working_dir, path != nullptr ? path : "").ok()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "--launcher-argument '%s' after '%s' would be the program that starts the trainer's command, "
      "and this host has none of that name: write an option and its value as one word, such as "
      "--partition=debug",
      *wrapper, *(wrapper - 1)));
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
  ALLO_ASSIGN_OR_RETURN(const std::vector<launch::HostRanks> indexed, DeviceIndices(request.hosts));
  const bool for_each_device = run::IsForEachDevice(trainer);
  launch::StartPlan plan;
  for (const run::ProcessPlace& place : PlacesOf(for_each_device, request)) {
    ALLO_ASSIGN_OR_RETURN(plan.processes.emplace_back(),
                          PlanProcess(spec, request, indexed, place));
    const std::vector<std::string>& words = plan.processes.back().arguments;
    if (words.empty()) return absl::InvalidArgumentError("its command is empty");
    ALLO_RETURN_IF_ERROR(CheckPolicy(words[0], policy));
  }
  ALLO_RETURN_IF_ERROR(CheckHosts(trainer, request.hosts));
  plan.working_dir = trainer.working_dir;
  ALLO_ASSIGN_OR_RETURN(plan.files, run::StringMapOf(trainer.files));
  plan.inherited.assign(std::begin(kInherited), std::end(kInherited));
  if (request.launcher->names_gpus) plan.inherited.push_back("CUDA_VISIBLE_DEVICES");
  plan.launcher_variables = for_each_device;
  const auto wrapper = WrapperIn(request.settings.arguments);
  plan.wrapper.assign(wrapper, request.settings.arguments.end());

  size_t rank = 0;
  for (const launch::HostRanks& host : request.hosts) {
    if (host.is_here) {
      ALLO_RETURN_IF_ERROR(CheckWrapper(request.settings.arguments, wrapper, plan.working_dir));
      ALLO_RETURN_IF_ERROR(launch::CommandOf(plan, rank).status());
      break;
    }
    rank += plan.launcher_variables ? host.devices.size() : 1;
  }
  const std::string attempt_dir = run::AttemptDir(request.run_dir, spec.attempt);
  ALLO_RETURN_IF_ERROR(launch::WriteStartPlan(attempt_dir, plan));

  launch::Job job;
  job.program = {request.supervisor, attempt_dir};
  job.hosts = request.hosts;
  job.one_per_host = !for_each_device;
  job.is_foreign = true;
  // Of the GPUs only Slurm must know; other hosts have them by start.json.
  if (request.launcher->names_gpus) job.device_kind = spec.device;
  job.environment = MarkedEnvironment(request.attempt_name, request.agent_id);
  job.settings = request.settings;
  job.settings.arguments.assign(request.settings.arguments.begin(), wrapper);
  ALLO_ASSIGN_OR_RETURN(launch::Command command, launch::MakeCommand(*request.launcher, job));
  command.is_supervised = true;
  return command;
}

absl::StatusOr<launch::Command> MakeDescribeCommand(const std::vector<std::string>& words,
                                                    const run::PlaceholderValues& values,
                                                    const std::string& working_dir,
                                                    const CommandPolicy& policy) {
  launch::StartPlan plan;
  plan.working_dir = working_dir;
  plan.inherited.assign(std::begin(kInherited), std::end(kInherited));
  launch::PlannedProcess& process = plan.processes.emplace_back();
  for (const std::string& word : words) {
    ALLO_ASSIGN_OR_RETURN(process.arguments.emplace_back(), run::Replace(word, values));
  }
  if (process.arguments.empty()) return absl::InvalidArgumentError("its command is empty");
  ALLO_RETURN_IF_ERROR(CheckPolicy(process.arguments[0], policy));
  process.environment.emplace("OMP_NUM_THREADS", "1");
  return launch::CommandOf(plan, 0);
}

}  // namespace allometry::agent
