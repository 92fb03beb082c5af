// Serves the metrics over HTTP: GET /metrics, and nothing else.
//
// It shows names of sweeps and how much is done without a token (Options::metrics).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "transport/address.h"

namespace allometry::coordinator {

class MetricsServer {
 public:
  // `text` makes the answer to each request, on a thread of the server; an error is answered with
  // 503. FailedPrecondition: the address is taken.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const transport::Address& address, std::function<absl::StatusOr<std::string>()> text);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // "http://127.0.0.1:9464/metrics", with the real port.
  const std::string& url() const { return url_; }

 private:
  struct Parts;
  explicit MetricsServer(std::unique_ptr<Parts> parts, std::string url);

  const std::unique_ptr<Parts> parts_;
  const std::string url_;
};

}  // namespace allometry::coordinator
