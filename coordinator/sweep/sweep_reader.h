// Reads a sweep file. Reports all mistakes at once. What needs the dataset, as the vocabulary and
// hence shapes and parameter counts, is checked by Expand (expansion.h).
#pragma once

#include "base/status.h"
#include "coordinator/sweep/sweep_file.h"

namespace allometry::sweep {

// InvalidArgument has one line for each mistake, in the order of the file:
//   "sweeps/a.yaml:12: batch_tokens 500 is not a multiple of context 64"
// place, value, what was allowed; an unknown key comes with the nearest known one. A file of more
// than 1 MiB, of bytes that are not UTF-8 or of broken YAML is refused with the line where it
// breaks.
absl::StatusOr<SweepFile> ParseSweepFile(absl::string_view yaml, absl::string_view file_name);

}  // namespace allometry::sweep
