#include "absl/strings/str_cat.h"
#include "worker/launch/rows.h"

namespace allometry::launch {

absl::StatusOr<Command> MakeNone(const Job& job) {
  if (RankCount(job) != 1 || !job.hosts.front().is_here) {
    return absl::InvalidArgumentError(
        absl::StrCat("launcher 'none' starts one rank on this machine, not ", RankCount(job),
                     " ranks on ", job.hosts.size(), " hosts: name mpirun or srun"));
  }
  Command command{job.settings.arguments, job.environment, {}};
  command.arguments.insert(command.arguments.end(), job.program.begin(), job.program.end());
  if (job.device_kind == run::DeviceKind::kCuda) {
    command.environment.emplace_back("CUDA_VISIBLE_DEVICES", VisibleGpus(job.hosts.front()));
    KeepNcclOnThisHost(command);
  }
  return command;
}

}  // namespace allometry::launch
