// What trainer.describe_command of a sweep file says of its sizes: parameters and FLOPs per token.
//
// The command runs here, as the user who submits the file, once for each size, under the rules by
// which a worker starts commands (worker/agent/command_launch.h): no shell, few variables, a time
// limit. It prints one JSON object: {"params": 310000000, "params_non_embedding": 260000000,
// "flops_per_token": 2.1e9}; all but params may be left out, other names are passed over.
#pragma once

#include <string>

#include "base/status.h"
#include "coordinator/sweep/sweep_file.h"
#include "nlohmann/json.hpp"

namespace allometry::cli {

// By label, for the section `submitted`. `folder` is the command's. `allow_commands`: as of
// allo-worker. INVALID_ARGUMENT has a line for each size whose command cannot be started, fails,
// takes too long, prints something else, or contradicts the table (both numbers are named).
absl::StatusOr<nlohmann::ordered_json> DescribeSizes(const sweep::SweepFile& file,
                                                     const std::string& folder,
                                                     const std::string& allow_commands);

}  // namespace allometry::cli
