// The rules of coordinator/scheduler/decide.h in their plainest form: every waiting run is tried in
// order on every worker, and nothing is kept. The oracle of the scheduler's indices; it shares with
// them only what one pool of slots knows (coordinator/scheduler/pool.h).
#pragma once

#include "coordinator/scheduler/decide.h"

namespace allometry::scheduler {

Decision PlainDecide(const ClusterState& state, int64_t now_ns, const Options& options = {});

}  // namespace allometry::scheduler
