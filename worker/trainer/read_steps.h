// After which updates the host reads the report of a run's updates (models/guarded_update.h).
#pragma once

#include <cstdint>

#include "run/run_spec.h"

namespace allometry::trainer {

// Reading empties a GPU's queue, so it is done where values are logged, evaluated or stored, and
// else after every eighth update: a run that is to stop, or that has diverged, is then at most
// seven updates late. On a CPU it costs nothing and is done after every update. A function of the
// update alone, so that all ranks do alike and a resumed run does as before.
inline constexpr int64_t kLongestUnread = 8;
bool ReadsAfter(const run::RunSpec& spec, int64_t step);

}  // namespace allometry::trainer
