// Runs and attempts as clients list them.
#pragma once

#include "coordinator/store/rows.h"
#include "proto/client.pb.h"
#include "run/flops_convention.h"

namespace allometry::coordinator {

// `convention`: the sweep's.
v1::RunSummary SummaryOf(const v1::Run& run, run::FlopsConvention convention);
// Without its token, which is a secret of its agent.
v1::AttemptSummary SummaryOf(const store::Attempt& attempt);

}  // namespace allometry::coordinator
