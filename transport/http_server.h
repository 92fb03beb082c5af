// Where an HTTP server of ours listens.
#pragma once

#include <thread>

#include "base/status.h"
#include "transport/address.h"

namespace httplib {
class Server;
}

namespace allometry::transport {

// Takes the address and returns its port; port 0 takes a free one. FailedPrecondition, with `flag`
// ("--listen"): the address is taken.
absl::StatusOr<int> BindHttp(httplib::Server& server, const Address& address,
                             absl::string_view flag);

// A thread that serves until server.stop(). Returns once the server runs: to stop a server that
// does not run yet does nothing, and its thread would never end.
std::thread ServeHttp(httplib::Server& server);

}  // namespace allometry::transport
