// A sweep's numbers as CSV, in pieces of whole lines, so that no export is held in memory as a
// whole.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// Calls write(piece) for successive pieces; stops early, and returns OK, once it returns false.
// NotFound: no such sweep, or a run that is not of it.
//
// "observations" (what a fit reads, see observations.h):
//   sweep,size,run_id,params,tokens,flops,loss,epochs,step,ends_cell,seed,learning_rate,attempt,
//   run_key,run, and params_<policy> for each other way to count parameters. `run` is the run on
//   whose curve the point lies: run_id, or for a branch the run_id of its trunk
// "points" (every series, or one):
//   run_id,size,series,step,tokens,value,attempt      value is empty where it was not finite
absl::Status ExportSweep(const store::Store& store, const v1::ExportRequest& request,
                         const std::function<bool(std::string piece)>& write);

}  // namespace allometry::coordinator
