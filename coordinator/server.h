// A coordinator that serves: the store, the scheduler's view, and the two gRPC services over them.
//
// allo-coordinator is this class and signals; tests run it in their own process.
// Threading: call Start, Stop and the destructor from one thread.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "coordinator/options.h"

namespace allometry::coordinator {

class Server {
 public:
  // Opens (or makes, or migrates) the database, rebuilds the scheduler's view from its rows, and
  // serves. Errors are sentences for the person who started it: a bad option, a database of a newer
  // version or held by another coordinator, an address in use. No file is made if the address
  // cannot be used.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options);

  // Stops as Stop() does.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // As clients name it: unix:PATH, or HOST:PORT with the real port.
  const std::string& address() const { return address_; }
  // Where its metrics are, "http://127.0.0.1:9464/metrics"; empty: nowhere.
  std::string metrics_url() const;

  // Takes no new call, ends the open ones (streams get UNAVAILABLE), finishes every commit that was
  // begun, and closes the database. Safe to call twice.
  void Stop();

 private:
  struct Parts;
  static absl::Status StartMetrics(const Options& options, Parts& parts);
  Server(std::unique_ptr<Parts> parts, std::string address);

  // Constant after construction, but for Stop, which empties parts_.
  std::unique_ptr<Parts> parts_;
  const std::string address_;
};

}  // namespace allometry::coordinator
