// Runs and attempts as clients list them.
#pragma once

#include <string>

#include "coordinator/store/rows.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// `flops_convention`: the sweep's.
v1::RunSummary SummaryOf(const v1::Run& run, const std::string& flops_convention);
// Without its token, which is a secret of its agent.
v1::AttemptSummary SummaryOf(const store::Attempt& attempt);

}  // namespace allometry::coordinator
