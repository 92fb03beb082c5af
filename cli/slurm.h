// `allo slurm`, declared as in cli/commands.h.
#pragma once

#include "CLI/App.hpp"
#include "cli/context.h"

namespace allometry::cli {

void AddSlurm(CLI::App& app, Context& context);

}  // namespace allometry::cli
