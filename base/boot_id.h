// Which boot of which machine this is.
#pragma once

#include <string>

namespace allometry {

// Differs from machine to machine and from boot to boot, without white space: CLOCK_BOOTTIME of two
// processes is one clock where this is the same. "unknown" where the kernel does not say.
std::string BootId();

}  // namespace allometry
