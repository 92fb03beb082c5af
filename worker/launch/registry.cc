#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/launch/foreign_variables.h"
#include "worker/launch/launcher.h"
#include "worker/launch/rows.h"

namespace allometry::launch {
namespace {

constexpr Launcher kLaunchers[] = {
    {"none", "the program itself, one rank on this machine", true, false, MakeNone, nullptr},
    {"mpirun", "Open MPI's mpirun, on other hosts by ssh", false, false, MakeMpirun, ProbeBySsh},
    {"srun", "a step of the Slurm allocation that this process is in", true, true, MakeSrun,
     ProbeBySrun},
};

}  // namespace

std::span<const Launcher> Launchers() { return kLaunchers; }

std::string LauncherNames() {
  std::string names = "auto";
  for (const Launcher& launcher : kLaunchers) absl::StrAppend(&names, ", ", launcher.name);
  return names;
}

absl::StatusOr<const Launcher*> FindLauncher(absl::string_view name, bool in_slurm) {
  const absl::string_view wanted = name != "auto" ? name : in_slurm ? "srun" : "mpirun";
  for (const Launcher& launcher : kLaunchers) {
    if (wanted == launcher.name) return &launcher;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("launcher '", name, "': allowed are ", LauncherNames()));
}

absl::StatusOr<Command> MakeCommand(const Launcher& launcher, const Job& job) {
  const bool single = RankCount(job) == 1 && job.hosts.front().is_here;
  return single && !launcher.starts_single_ranks ? MakeNone(job) : launcher.make(job);
}

bool IsInherited(const Command& command, absl::string_view name) {
  return (!command.is_foreign && !IsForeignVariable(name)) ||
         std::find(command.kept.begin(), command.kept.end(), name) != command.kept.end();
}

std::vector<std::string> EnvironmentOf(const Command& command) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view name(*entry, std::strcspn(*entry, "="));
    bool kept = IsInherited(command, name);
    for (const auto& [own, value] : command.environment) kept = kept && own != name;
    if (kept) environment.emplace_back(*entry);
  }
  for (const auto& [name, value] : command.environment) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

size_t RankCount(const Job& job) {
  size_t ranks = 0;
  for (const HostRanks& host : job.hosts) ranks += RanksOn(job, host);
  return ranks;
}

size_t RanksOn(const Job& job, const HostRanks& host) {
  return job.one_per_host ? 1 : host.devices.size();
}

std::string VisibleGpus(const HostRanks& host) { return absl::StrJoin(host.devices, ","); }

void KeepNcclOnThisHost(Command& command) {
  constexpr char kInterface[] = "NCCL_SOCKET_IFNAME";
  if (std::getenv(kInterface) == nullptr) command.environment.emplace_back(kInterface, "lo");
}

}  // namespace allometry::launch
