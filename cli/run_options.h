// The options that choose runs of a sweep: the same words for every command that has them.
#pragma once

#include <optional>
#include <string>

#include "CLI/App.hpp"
#include "cli/context.h"
#include "cli/run_filter.h"

namespace allometry::cli {

// Declares RUN (also --run), --state, --size, --seed and --rate. Each takes several values, between
// commas or by repeating it.
void AddRunOptions(CLI::App& command, RunFilterWords& words);

// Adds the ids of the runs that the words choose to `run_ids`; none where no option was given,
// which stands for all. Set: the program is to exit with this code, because the sweep has no such
// run or could not be read, which is said on standard error.
std::optional<int> ChooseRuns(const Context& context, v1::ClientService::Stub& stub,
                              const std::string& sweep, const RunFilterWords& words,
                              google::protobuf::RepeatedField<int64_t>& run_ids);

}  // namespace allometry::cli
