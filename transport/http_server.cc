#include "transport/http_server.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "httplib.h"

namespace allometry::transport {
namespace {

constexpr int kStartMs = 5000;

}  // namespace

absl::StatusOr<int> BindHttp(httplib::Server& server, const Address& address,
                             absl::string_view flag) {
  if (address.port == 0) {
    if (const int port = server.bind_to_any_port(address.host); port >= 0) return port;
  } else if (server.bind_to_port(address.host, address.port)) {
    return address.port;
  }
  return absl::FailedPreconditionError(
      absl::StrCat(flag, " ", address.ToString(),
                   ": the address cannot be taken; another program may have the port. Port 0 "
                   "takes a free one"));
}

std::thread ServeHttp(httplib::Server& server) {
  std::thread thread([&server] { server.listen_after_bind(); });
  for (int ms = 0; ms < kStartMs && !server.is_running(); ++ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return thread;
}

}  // namespace allometry::transport
