#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "worker/launch/rows.h"

namespace allometry::launch {
namespace {

// Open MPI adds "/ompi.HOST.UID/pid.PID/..." to it, and a path of a socket has at most 108 bytes.
constexpr size_t kLongestTmpdir = 60;
// Open MPI 4.1 and its PMIx write the letters that a host's name begins with into 50 bytes,
// whatever they are, when they look for what names have in common.
constexpr size_t kLongestHostName = 45;

// Where this host's TMPDIR or name is too long for Open MPI, what has it work all the same.
void AddVariables(Command& command) {
  const char* folder = std::getenv("TMPDIR");
  if (folder != nullptr && std::strlen(folder) > kLongestTmpdir) {
    command.environment.emplace_back("OMPI_MCA_orte_tmpdir_base", "/tmp");
    command.environment.emplace_back("PMIX_MCA_pmix_tmpdir_base", "/tmp");
  }
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) == 0 && std::strlen(host) > kLongestHostName) {
    command.environment.emplace_back("OMPI_MCA_regx", "naive");
    command.environment.emplace_back("PMIX_MCA_preg", "^native");
  }
}

}  // namespace

absl::StatusOr<Command> MakeMpirun(const Job& job) {
  if (job.hosts.size() != 1 || !job.hosts.front().host.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("launcher 'mpirun' starts ranks on this machine, not on ", job.hosts.size(),
                     " hosts (", job.hosts.front().host, ", ...)"));
  }
  Command command{{"mpirun", "-np", absl::StrCat(RankCount(job))}, job.environment, {}};
  if (job.is_root) command.arguments.push_back("--allow-run-as-root");
  // The slots are the coordinator's business, so Open MPI's own counting and binding are off;
  // containers forbid the system call behind vader's single copy. Ranks of one host talk through
  // shared memory, so none of them listens on the network, and mpirun names the loopback alone as
  // its address (docs/security.md).
  command.arguments.insert(
      command.arguments.end(),
      {"--oversubscribe", "--bind-to", "none", "--mca", "btl_vader_single_copy_mechanism", "none",
       "--mca", "btl", "self,vader", "--mca", "oob_tcp_if_include", "lo"});
  command.arguments.insert(command.arguments.end(), job.program.begin(), job.program.end());
  if (job.device_kind == "cuda") {
    command.environment.emplace_back("CUDA_VISIBLE_DEVICES", VisibleGpus(job.hosts.front()));
    // One host: NCCL's own sockets stay on it.
    command.environment.emplace_back("NCCL_SOCKET_IFNAME", "lo");
  }
  AddVariables(command);
  return command;
}

}  // namespace allometry::launch
