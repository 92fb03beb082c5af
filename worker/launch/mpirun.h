// How ranks are started with Open MPI's mpirun on this host, and which variables of ours a started
// trainer does not inherit. The worker and `allo plan` start theirs alike.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace allometry::launch {

// "mpirun -np RANKS ..." up to the program. `is_root`: Open MPI refuses root unless told.
std::vector<std::string> MpirunPrefix(size_t ranks, bool is_root);

// Whether the variable is how a batch system (Slurm, PBS, LSF, Grid Engine, Cobalt, Flux, ALPS) or
// an MPI launcher (Open MPI, PMIx, PMI, Hydra, Intel MPI, MVAPICH) tells a process of its job which
// rank it is, or mpirun which hosts it has. An mpirun that sees one of them starts ranks through
// that batch system, and a program of one rank believes to be one of many.
bool IsLauncherVariable(absl::string_view name);
// Slurm's: what srun needs to make a step of this allocation.
bool IsSlurmVariable(absl::string_view name);

// OK, or "TMPDIR /x does not exist": mpirun and std::filesystem fail there without naming it.
absl::Status CheckTmpdir();
// Variables for mpirun, as "NAME=VALUE": where this host's TMPDIR or name is too long for Open MPI,
// what has it work all the same.
std::vector<std::string> MpirunVariables();

}  // namespace allometry::launch
