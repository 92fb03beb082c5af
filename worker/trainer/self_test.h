// A check, in seconds, that this trainer works on this host.
#pragma once

#include <string>

#include "run/choices.h"

namespace allometry::trainer {

// Multiplies and differentiates on the device, and writes, syncs and removes a
// file of 16 MiB in `folder`. Returns the exit code: 0, or that of the reason, with a sentence on
// standard error. That the program's libraries are there, it shows by starting.
int SelfTest(const std::string& folder, run::DeviceKind device);

}  // namespace allometry::trainer
