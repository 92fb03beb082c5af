#include "worker/launch/foreign_variables.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"

namespace allometry::launch {
namespace {

constexpr absl::string_view kPrefixes[] = {
    "SLURM_", "SLURMD_",                                       // Slurm
    "OMPI_",  "PMIX_",   "PMI_",   "PRTE_",     "ORTE_",       // Open MPI and what it is made of
    "HYDRA_", "HYDI_",   "I_MPI_", "MV2_",      "MPIR_CVAR_",  // MPICH's family
    "PBS_",   "LSB_",    "LSF_",   "LS_SUBCWD", "SGE_",       "COBALT_",
    "FLUX_",  "ALPS_",   "PALS_",  "BASIL_",    "JSM_",
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

bool IsForeignVariable(absl::string_view name) {
  return std::any_of(std::begin(kPrefixes), std::end(kPrefixes),
                     [&](absl::string_view prefix) { return absl::StartsWith(name, prefix); }) ||
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace allometry::launch
