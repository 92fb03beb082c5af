// The folder for temporary files that programs are started with.
#pragma once

#include "base/status.h"

namespace allometry::launch {

// OK, or "TMPDIR /x does not exist": mpirun and std::filesystem fail there without naming it.
absl::Status CheckTmpdir();

}  // namespace allometry::launch
