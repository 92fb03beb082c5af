// `allo data strata`, `allo data entropy` and `allo data import-hdf5`.
#pragma once

#include <functional>

#include "CLI/App.hpp"
#include "data/command_output.h"

namespace allometry::data {

// `add(name, help, action)` makes a subcommand of `allo data` that calls `action`.
using AddCommand = std::function<CLI::App*(const char* name, const char* help,
                                           std::function<int(const Output&)> action)>;
void AddTrajectoryCommands(const AddCommand& add);

}  // namespace allometry::data
