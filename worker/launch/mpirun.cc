#include "worker/launch/mpirun.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace allometry::launch {
namespace {

// Open MPI adds "/ompi.HOST.UID/pid.PID/..." to it, and a path of a socket has at most 108 bytes.
constexpr size_t kLongestTmpdir = 60;
// Open MPI 4.1 and its PMIx write the letters that a host's name begins with into 50 bytes,
// whatever they are, when they look for what names have in common.
constexpr size_t kLongestHostName = 45;

constexpr absl::string_view kPrefixes[] = {
    "OMPI_",  "PMIX_", "PMI_",   "PRTE_",     "ORTE_",       // Open MPI and what it is made of
    "HYDRA_", "HYDI_", "I_MPI_", "MV2_",      "MPIR_CVAR_",  // MPICH's family
    "PBS_",   "LSB_",  "LSF_",   "LS_SUBCWD", "SGE_",       "COBALT_",
    "FLUX_",  "ALPS_", "PALS_",  "BASIL_",    "JSM_",
};
// Grid Engine's have no prefix.
constexpr absl::string_view kNames[] = {
    "ARC",
    "JOB_ID",
    "JOB_NAME",
    "NHOSTS",
    "NQUEUES",
    "NSLOTS",
    "PE",
    "QUEUE",
    "PE_HOSTFILE",
    "PMI_RANK",
    "MPI_LOCALNRANKS",
    "MPI_LOCALRANKID",
    "BATCH_PARTITION_ID",
};

}  // namespace

std::vector<std::string> MpirunPrefix(size_t ranks, bool is_root) {
  std::vector<std::string> prefix = {"mpirun", "-np", absl::StrCat(ranks)};
  if (is_root) prefix.push_back("--allow-run-as-root");
  // The slots are the coordinator's business, so Open MPI's own counting and binding are off;
  // containers forbid the system call behind vader's single copy. Ranks of one host talk through
  // shared memory, so none of them listens on the network, and mpirun names the loopback alone as
  // its address (docs/security.md).
  prefix.insert(prefix.end(),
                {"--oversubscribe", "--bind-to", "none", "--mca", "btl_vader_single_copy_mechanism",
                 "none", "--mca", "btl", "self,vader", "--mca", "oob_tcp_if_include", "lo"});
  return prefix;
}

bool IsSlurmVariable(absl::string_view name) {
  return absl::StartsWith(name, "SLURM_") || absl::StartsWith(name, "SLURMD_");
}

bool IsLauncherVariable(absl::string_view name) {
  return IsSlurmVariable(name) ||
         std::any_of(std::begin(kPrefixes), std::end(kPrefixes),
                     [&](absl::string_view prefix) { return absl::StartsWith(name, prefix); }) ||
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

absl::Status CheckTmpdir() {
  for (const char* name : {"TMPDIR", "TMP", "TEMP", "TEMPDIR"}) {
    const char* folder = std::getenv(name);
    if (folder == nullptr) continue;
    struct stat info {};
    if (*folder != '\0' && stat(folder, &info) == 0 && S_ISDIR(info.st_mode)) {
      return absl::OkStatus();
    }
    if (*folder == '\0') {
      return absl::FailedPreconditionError(absl::StrCat(name, " is set and names no folder"));
    }
    return absl::FailedPreconditionError(
        absl::StrCat(name, " ", folder, info.st_mode != 0 ? " is no folder" : " does not exist"));
  }
  return absl::OkStatus();
}

std::vector<std::string> MpirunVariables() {
  std::vector<std::string> variables;
  const char* folder = std::getenv("TMPDIR");
  if (folder != nullptr && std::strlen(folder) > kLongestTmpdir) {
    variables = {"OMPI_MCA_orte_tmpdir_base=/tmp", "PMIX_MCA_pmix_tmpdir_base=/tmp"};
  }
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) == 0 && std::strlen(host) > kLongestHostName) {
    variables.insert(variables.end(), {"OMPI_MCA_regx=naive", "PMIX_MCA_preg=^native"});
  }
  return variables;
}

}  // namespace allometry::launch
