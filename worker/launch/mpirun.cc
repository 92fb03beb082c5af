#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/host_name.h"
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
  if (HostName().size() > kLongestHostName) {
    command.environment.emplace_back("OMPI_MCA_regx", "naive");
    command.environment.emplace_back("PMIX_MCA_preg", "^native");
  }
}

// ssh gives up a host that does not answer for 30 s, and asks nobody for a password.
std::string Ssh(const Settings& settings) {
  return absl::StrCat(settings.ssh,
                      " -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 "
                      "-o ServerAliveCountMax=6");
}

// Variables of this process's own that ranks on other hosts need as those here do.
constexpr absl::string_view kSent[] = {"ALLO_", "CUDA_", "LD_LIBRARY_PATH", "NCCL_", "UCX_"};

std::vector<std::string> Sent(const Job& job, const HostRanks& host) {
  std::vector<std::string> sent;
  for (char** entry = environ; *entry != nullptr && !job.is_foreign; ++entry) {
    const absl::string_view variable = *entry;
    // The job says which GPUs; an empty value cannot be said.
    if (absl::StartsWith(variable, "CUDA_VISIBLE_DEVICES=") || absl::EndsWith(variable, "=")) {
      continue;
    }
    if (std::any_of(std::begin(kSent), std::end(kSent),
                    [&](absl::string_view prefix) { return absl::StartsWith(variable, prefix); })) {
      sent.insert(sent.end(), {"-x", std::string(variable)});
    }
  }
  for (const auto& [name, value] : job.environment) {
    sent.insert(sent.end(), {"-x", absl::StrCat(name, "=", value)});
  }
  if (job.device_kind == run::DeviceKind::kCuda) {
    sent.insert(sent.end(), {"-x", absl::StrCat("CUDA_VISIBLE_DEVICES=", VisibleGpus(host))});
  }
  return sent;
}

// allo-supervisor takes up to 1.5 s after SIGTERM to end what it started; mpirun waits for so many
// whole seconds before SIGKILL, one where nothing is said, and never less.
void AddTimeToEnd(const Job& job, std::vector<std::string>& arguments) {
  if (!job.is_foreign) return;
  arguments.insert(arguments.end(), {"--mca", "odls_base_sigkill_timeout", "2"});
}

// A part of the command line for each host, so that each has its own CUDA_VISIBLE_DEVICES. The
// daemons of mpirun and the ranks talk over the network, and listen there (docs/security.md).
Command OverHosts(const Job& job) {
  Command command{{"mpirun"}, job.environment, {}};
  std::vector<std::string>& arguments = command.arguments;
  if (job.settings.is_root) arguments.push_back("--allow-run-as-root");
  arguments.insert(
      arguments.end(),
      {"--bind-to", "none", "--mca", "btl_vader_single_copy_mechanism", "none", "--mca",
       "plm_rsh_agent", Ssh(job.settings), "--mca", "plm_rsh_no_tree_spawn", "1",
       // Each ssh stays until its daemon ends. Where it does not, mpirun waits for ever for a
       // daemon that died before its first report.
       "--mca", "orte_leave_session_attached", "1",
       // Hosts go by the names that were given: in Kubernetes "pod.service" resolves, "pod" does
       // not.
       "--mca", "orte_keep_fqdn_hostnames", "1"});
  AddTimeToEnd(job, arguments);
  bool first = true;
  for (const HostRanks& host : job.hosts) {
    if (!std::exchange(first, false)) arguments.push_back(":");
    const std::string ranks = absl::StrCat(RanksOn(job, host));
    arguments.insert(arguments.end(),
                     {"-np", ranks, "--host", absl::StrCat(host.host, ":", ranks)});
    for (const std::vector<std::string>& part :
         {Sent(job, host), job.settings.arguments, job.program}) {
      arguments.insert(arguments.end(), part.begin(), part.end());
    }
  }
  AddVariables(command);
  return command;
}

}  // namespace

absl::StatusOr<Command> MakeMpirun(const Job& job) {
  if (job.hosts.size() > 1 || !job.hosts.front().is_here) return OverHosts(job);
  Command command{{"mpirun", "-np", absl::StrCat(RankCount(job))}, job.environment, {}};
  if (job.settings.is_root) command.arguments.push_back("--allow-run-as-root");
  // The slots are the coordinator's business, so Open MPI's own counting and binding are off;
  // containers forbid the system call behind vader's single copy. Ranks of one host talk through
  // shared memory, so none of them listens on the network, and mpirun names the loopback alone as
  // its address (docs/security.md).
  command.arguments.insert(
      command.arguments.end(),
      {"--oversubscribe", "--bind-to", "none", "--mca", "btl_vader_single_copy_mechanism", "none",
       "--mca", "btl", "self,vader", "--mca", "oob_tcp_if_include", "lo"});
  AddTimeToEnd(job, command.arguments);
  for (const std::vector<std::string>* part : {&job.settings.arguments, &job.program}) {
    command.arguments.insert(command.arguments.end(), part->begin(), part->end());
  }
  if (job.device_kind == run::DeviceKind::kCuda) {
    command.environment.emplace_back("CUDA_VISIBLE_DEVICES", VisibleGpus(job.hosts.front()));
    KeepNcclOnThisHost(command);
  }
  AddVariables(command);
  return command;
}

Command ProbeBySsh(const std::string& host, const Settings& settings) {
  Command command;
  command.arguments = absl::StrSplit(Ssh(settings), ' ', absl::SkipEmpty());
  command.arguments.insert(command.arguments.end(), {host, "true"});
  return command;
}

}  // namespace allometry::launch
