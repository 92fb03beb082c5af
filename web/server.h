// The HTTP server of `allo web`: a client of a coordinator that shows its sweeps to a browser. It
// holds no state, so it may be ended and started at any time.
//
//   /, /sweeps, /sweep/NAME[/curves|/fit], /compare, /run/ID, /workers    the page
//   /static/FILE                                                         its files
//   /api/...                                                             data (web/api.h)
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "proto/client.grpc.pb.h"

namespace allometry::web {

struct Options {
  std::string listen = "127.0.0.1:7448";  // HOST:PORT; port 0 takes a free one
  bool allow_changes = false;             // cancel, retry, preempt, drain
  std::vector<std::string> names;         // further names that browsers open it by
  std::string coordinator;                // where it is, for the page to say
  // A sentence for a call that failed, as the command line would say it.
  std::function<std::string(const grpc::Status&)> explain;
};

class Server {
 public:
  // InvalidArgument: not an address. FailedPrecondition: the port is taken, or not allowed.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const Options& options, std::unique_ptr<v1::ClientService::Stub> coordinator);
  ~Server();  // Stop
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // What to open in a browser, with the token where one is needed.
  const std::string& url() const { return url_; }
  void Stop();

 private:
  struct Parts;
  Server(std::unique_ptr<Parts> parts, std::string url);
  std::unique_ptr<Parts> parts_;
  const std::string url_;
};

}  // namespace allometry::web
