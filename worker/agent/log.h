// One line on standard error with the UTC time: what the agent tells whoever reads its journal.
#pragma once

#include "absl/strings/string_view.h"

namespace allometry::agent {

// Writes the line in one call, so that lines of several threads and processes never mix.
void LogLine(absl::string_view line);

}  // namespace allometry::agent
