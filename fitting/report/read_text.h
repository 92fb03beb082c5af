// How the table was read, as lines of a report.
#pragma once

#include <string>
#include <vector>

#include "fitting/data/observation.h"

namespace allometry::fitting {

// No lines where the observations are not of a file. The first has no indent, the others two
// spaces.
std::vector<std::string> ReadLines(const ReadSummary& read);

}  // namespace allometry::fitting
