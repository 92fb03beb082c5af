// --pilot: the law and the errors that a plan assumes (fitting/design/pilot.h).
#pragma once

#include <string>

#include "base/status.h"
#include "cli/context.h"
#include "fitting/design/pilot.h"

namespace allometry::cli {

// "" is the stated default; NAME.csv and NAME.json are files; anything else is a sweep of the
// coordinator, whose observations are asked for.
absl::StatusOr<fitting::Pilot> ReadPilot(const Context& context, const std::string& pilot);

}  // namespace allometry::cli
