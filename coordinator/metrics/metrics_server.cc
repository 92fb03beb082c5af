#include "coordinator/metrics/metrics_server.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "httplib.h"
#include "transport/http_server.h"

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
  ALLO_ASSIGN_OR_RETURN(const int port, transport::BindHttp(http, address, "--metrics"));
  parts->thread = transport::ServeHttp(http);
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
