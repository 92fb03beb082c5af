// The name of this machine, as other machines of a cluster know it.
#pragma once

#include <string>

namespace allometry {

// "localhost" where the machine has no name.
std::string HostName();

}  // namespace allometry
