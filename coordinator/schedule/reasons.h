// Why runs wait or share, in sentences for people who read `allo runs`.
#pragma once

#include <cstdint>
#include <string>

#include "coordinator/schedule/capacity_index.h"

namespace allometry::schedule {

// Why a run that is not blocked waits, once the decided runs are on their slots. `held_for`: the
// run id of the gang that slots are held for; 0: none.
std::string WhyItWaits(const RunState& run, const ClusterState& state,
                       const CapacityIndex& capacity, int64_t held_for);

// Why a run is put on a slot that has users already.
std::string WhyItShares(const AgentState& agent, const Place& place, const Need& need);

}  // namespace allometry::schedule
