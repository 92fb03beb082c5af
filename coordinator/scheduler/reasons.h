// Why a run waits, in a sentence for the person who looks at `allo runs`.
#pragma once

#include <string>

#include "coordinator/scheduler/slots.h"

namespace allometry::scheduler {

// After every assignment of a decision was taken from `slots`.
std::string WhyItWaits(const RunState& run, const Slots& slots);

}  // namespace allometry::scheduler
