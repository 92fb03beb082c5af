// Which process listens on a TCP port of this machine, for messages.
#pragma once

#include <string>

namespace allometry::transport {

// "process 4711 (allo-coordinator)"; empty where nobody is found, or it is another user's.
std::string OwnerOfPort(int port);

}  // namespace allometry::transport
