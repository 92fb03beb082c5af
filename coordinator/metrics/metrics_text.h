// What a coordinator does, in the text format that Prometheus scrapes.
//
// Names and labels are a public contract: docs/command-line.md lists them. Counters count from the
// start of this coordinator. Samples of one sweep are those of sweeps that are neither archived nor
// being deleted.
#pragma once

#include <cstdint>
#include <string>

#include "coordinator/leases/dispatch.h"
#include "coordinator/store/rows.h"

namespace allometry::coordinator {

// `start_unix_us`: of this coordinator.
std::string MetricsText(const store::Statistics& stored, const DispatchStatistics& now,
                        int64_t start_unix_us, int64_t now_unix_us);

}  // namespace allometry::coordinator
