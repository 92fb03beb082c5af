#include "coordinator/metrics/metrics_server.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "httplib.h"

namespace allometry::coordinator {
namespace {

constexpr char kPath[] = "/metrics";
constexpr int kThreads = 2;  // one is scraped at a time
constexpr int kTimeoutS = 5;

}  // namespace

struct MetricsServer::Parts {
  httplib::Server http;
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const transport::Address& address, std::function<absl::StatusOr<std::string>()> text) {
  auto parts = std::make_unique<Parts>();
  httplib::Server& http = parts->http;
  http.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  http.set_read_timeout(kTimeoutS);
  http.set_write_timeout(kTimeoutS);
  http.set_keep_alive_timeout(kTimeoutS);
  http.Get(kPath, [text = std::move(text)](const httplib::Request&, httplib::Response& response) {
    const absl::StatusOr<std::string> metrics = text();
    if (!metrics.ok()) response.status = 503;
    response.set_content(
        metrics.ok() ? *metrics : absl::StrCat(metrics.status().message(), "\n"),
        metrics.ok() ? "text/plain; version=0.0.4; charset=utf-8" : "text/plain; charset=utf-8");
  });
  const int port = address.port == 0 ? http.bind_to_any_port(address.host)
                   : http.bind_to_port(address.host, address.port) ? address.port
                                                                   : -1;
  if (port < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("--metrics ", address.ToString(),
                     ": the address cannot be taken; another program may have the port. Port 0 "
                     "takes a free one"));
  }
  parts->thread = std::thread([&http] { http.listen_after_bind(); });
  // To stop a server that does not run yet does nothing.
  for (int ms = 0; ms < kTimeoutS * 1000 && !http.is_running(); ++ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  transport::Address served = address;
  served.port = port;
  return std::unique_ptr<MetricsServer>(
      new MetricsServer(std::move(parts), absl::StrCat("http://", served.ToString(), kPath)));
}

MetricsServer::MetricsServer(std::unique_ptr<Parts> parts, std::string url)
    : parts_(std::move(parts)), url_(std::move(url)) {}

MetricsServer::~MetricsServer() {
  parts_->http.stop();
  parts_->thread.join();
}

}  // namespace allometry::coordinator
