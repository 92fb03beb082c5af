// Which user of this machine is at the other end of a connection over loopback.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace allometry::web {

// The owner of the socket of this machine that is connected from `address`:`port` to `own_port`, as
// the kernel lists it in /proc/net. Unset: there is none such.
std::optional<uid_t> UserOfConnection(const std::string& address, int port, int own_port);

}  // namespace allometry::web
