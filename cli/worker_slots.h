// Where a plan's runs could run: the slots of this machine, or of a coordinator's workers.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "coordinator/cost/makespan.h"
#include "proto/client.pb.h"

namespace allometry::cli {

// What `allo worker --slots` would offer on this machine: worker/agent/slots.h reads the text for
// both.
absl::StatusOr<std::vector<cost::WorkerSlots>> SlotsOfThisMachine(const std::string& text);

// Of those that are not drained, apart for each kind of device that this program knows.
std::vector<cost::WorkerSlots> WorkersOf(const v1::ListWorkersResponse& response);

// "host-a cpu:2, host-b cuda:8"; "none".
std::string WorkersText(const std::vector<cost::WorkerSlots>& workers);

}  // namespace allometry::cli
