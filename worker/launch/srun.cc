#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/launch/rows.h"

namespace allometry::launch {

// Every job is a step with CPUs of its own (--exact), so Slurm never gives two jobs one CPU. The
// step must not take its size from the step that this process is in: of Slurm's variables only
// those that name the allocation go on.
absl::StatusOr<Command> MakeSrun(const Job& job) {
  const size_t ranks = RankCount(job);
  Command command;
  command.kept = {"SLURM_CONF", "SLURM_JOB_ID", "SLURM_JOB_NODELIST"};
  command.environment = job.environment;
  std::vector<std::string> hosts;
  size_t most_on_a_host = 0;
  for (const HostRanks& host : job.hosts) {
    if (!host.host.empty()) hosts.push_back(host.host);
    most_on_a_host = std::max(most_on_a_host, host.devices.size());
  }
  command.arguments = {"srun", "--exact", absl::StrCat("--ntasks=", ranks)};
  if (!hosts.empty()) {
    command.arguments.push_back(absl::StrCat("--nodelist=", absl::StrJoin(hosts, ",")));
    command.arguments.push_back(absl::StrCat("--nodes=", hosts.size()));
  }
  command.arguments.insert(command.arguments.end(),
                           {"--cpus-per-task=1", "--mpi=pmix", "--input=0", "--cpu-bind=none",
                            "--unbuffered", "--kill-on-bad-exit=1"});
  if (job.device_kind == "cuda") {
    // Slurm names the GPUs of each host itself; --gpu-bind=none: a rank sees all of its host's.
    command.arguments.push_back(absl::StrCat("--gpus-per-node=", most_on_a_host));
    command.arguments.push_back("--gpu-bind=none");
  }
  command.arguments.insert(command.arguments.end(), job.program.begin(), job.program.end());
  return command;
}

}  // namespace allometry::launch
