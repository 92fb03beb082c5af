// Starting points by variable projection (see fitting/solve/optimum.h).
#pragma once

#include <vector>

#include "fitting/solve/optimum.h"

namespace allometry::fitting {

// The local minima and the best nodes of the (alpha, beta) grid, best first, at most `most`; for
// the coupled law each at several gamma. Never empty for a sample with points.
std::vector<Theta> ProjectedStarts(const Problem& problem, const Sample& sample, size_t most);

}  // namespace allometry::fitting
