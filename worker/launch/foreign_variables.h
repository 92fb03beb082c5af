// Variables that a batch system or an MPI launcher sets for the processes of its jobs.
#pragma once

#include "absl/strings/string_view.h"

namespace allometry::launch {

// Whether the variable is how a batch system (Slurm, PBS, LSF, Grid Engine, Cobalt, Flux, ALPS) or
// an MPI launcher (Open MPI, PMIx, PMI, Hydra, Intel MPI, MVAPICH) tells a process of its job which
// rank it is, or mpirun which hosts it has. An mpirun that sees one of them starts ranks through
// that batch system, and a program of one rank believes to be one of many.
bool IsForeignVariable(absl::string_view name);

}  // namespace allometry::launch
