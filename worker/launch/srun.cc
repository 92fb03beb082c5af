#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/launch/rows.h"

namespace allometry::launch {
namespace {

// The step must not take its size from the step that this process is in: of Slurm's variables only
// those that name the allocation go on.
const std::vector<std::string>& Kept() {
  static const auto& kept =
      *new std::vector<std::string>{"SLURM_CONF", "SLURM_JOB_ID", "SLURM_JOB_NODELIST"};
  return kept;
}

}  // namespace

// Every job is a step with CPUs of its own (--exact), so Slurm never gives two jobs one CPU.
absl::StatusOr<Command> MakeSrun(const Job& job) {
  Command command;
  command.kept = Kept();
  command.environment = job.environment;
  std::vector<std::string> hosts, ranks;
  size_t most_on_a_host = 0;
  for (const HostRanks& host : job.hosts) {
    if (!host.host.empty()) hosts.push_back(host.host);
    most_on_a_host = std::max(most_on_a_host, host.devices.size());
    // A host a rank, in rank order: Slurm would spread ranks over hosts as it likes.
    ranks.insert(ranks.end(), RanksOn(job, host), host.host);
  }
  command.arguments = {"srun", "--exact", absl::StrCat("--ntasks=", ranks.size())};
  if (hosts.size() == job.hosts.size()) {
    command.arguments.push_back(absl::StrCat("--nodes=", hosts.size()));
    if (hosts.size() == 1) {
      command.arguments.push_back(absl::StrCat("--nodelist=", hosts.front()));
    } else {
      command.arguments.push_back(absl::StrCat("--nodelist=", absl::StrJoin(ranks, ",")));
      command.arguments.push_back("--distribution=arbitrary");
    }
  }
  // One process a host has the CPUs of all its devices: of the host that has most, as Slurm gives
  // every task the same.
  const size_t devices_of_a_rank = job.one_per_host ? most_on_a_host : 1;
  command.arguments.push_back(absl::StrCat(
      "--cpus-per-task=", static_cast<size_t>(job.settings.cpus_per_rank) * devices_of_a_rank));
  if (!job.settings.memory.empty()) command.arguments.push_back(job.settings.memory);
  command.arguments.insert(command.arguments.end(), {"--mpi=pmix", "--input=0", "--cpu-bind=none",
                                                     "--unbuffered", "--kill-on-bad-exit=1"});
  if (job.device_kind == run::DeviceKind::kCuda) {
    // Slurm names the GPUs of each host itself; --gpu-bind=none: a rank sees all of its host's.
    command.arguments.push_back(absl::StrCat("--gpus-per-node=", most_on_a_host));
    command.arguments.push_back("--gpu-bind=none");
  }
  for (const std::vector<std::string>* part : {&job.settings.arguments, &job.program}) {
    command.arguments.insert(command.arguments.end(), part->begin(), part->end());
  }
  return command;
}

Command ProbeBySrun(const std::string& host, const Settings&) {
  return {{"srun", "--overlap", "--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--mem=0",
           absl::StrCat("--nodelist=", host), "--input=none", "--cpu-bind=none", "true"},
          {},
          Kept()};
}

}  // namespace allometry::launch
