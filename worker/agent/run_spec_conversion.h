// allometry.v1.RunSpec, as it comes over the network, to run::RunSpec, as run.json holds it.
#pragma once

#include <string>

#include "base/status.h"
#include "proto/types.pb.h"
#include "run/run_spec.h"

namespace allometry::agent {

// Every field. InvalidArgument where a name that becomes a path (the dataset, the start checkpoint)
// is not of its one allowed form; FailedPrecondition where the start checkpoint is under a run root
// other than `root_id`. Numbers are checked by whoever reads run.json.
absl::StatusOr<run::RunSpec> ToRunDirSpec(const v1::RunSpec& spec, int attempt,
                                          const std::string& root_id);

}  // namespace allometry::agent
