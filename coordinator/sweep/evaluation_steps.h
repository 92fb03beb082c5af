// The grid of steps at which runs are evaluated: round(10^(k / per_decade)), k = 0, 1, ...
#pragma once

#include <cstdint>
#include <vector>

namespace allometry::sweep {

// Those after `first` and up to `last`, ascending, each once.
std::vector<int64_t> LogSpacedSteps(int per_decade, int64_t first, int64_t last);

}  // namespace allometry::sweep
