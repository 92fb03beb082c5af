// What is decided, in sentences for the person who looks at `allo runs`.
#pragma once

#include <cstdint>
#include <string>

#include "coordinator/schedule/capacity_index.h"

namespace allometry::schedule {

// Why a run that is not blocked waits, after what was decided is on its slots. `held_for`: the gang
// that slots are held for; 0: none.
std::string WhyItWaits(const RunState& run, const ClusterState& state,
                       const CapacityIndex& capacity, int64_t held_for);

// Why a run comes to a slot that has users.
std::string WhyItShares(const AgentState& agent, const Place& place, const Need& need);

}  // namespace allometry::schedule
