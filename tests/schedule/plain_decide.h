// The rules of coordinator/schedule/decide.h in their plainest form: every waiting run is tried in
// order on every worker, and nothing is kept. The oracle of the scheduler's indices; it shares with
// them only what one pool of slots knows (coordinator/schedule/pool.h).
#pragma once

#include "coordinator/schedule/decide.h"

namespace allometry::schedule {

Decision PlainDecide(const ClusterState& state, int64_t now_ns, const Options& options = {});

}  // namespace allometry::schedule
