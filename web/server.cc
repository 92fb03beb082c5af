#include "web/server.h"

#include <unistd.h>

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/host_name.h"
#include "httplib.h"
#include "transport/address.h"
#include "transport/http_server.h"
#include "web/api.h"
#include "web/assets.h"
#include "web/guard.h"
#include "web/peer.h"

namespace allometry::web {
namespace {

// Each open connection of a browser holds one: six a window, one of them a stream of changes.
constexpr int kThreads = 128;
constexpr size_t kMostRequestBytes = 1 << 20;

// Everything comes from this server; pictures are also made in the page.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Over loopback the kernel knows who connects; beyond it the token decides.
bool IsOfOwnUser(const httplib::Request& request, int own_port) {
  const std::optional<uid_t> user =
      UserOfConnection(request.remote_addr, request.remote_port, own_port);
  return user.has_value() && (*user == geteuid() || *user == 0);
}

// `port` is set before the first request.
void AddGuard(httplib::Server& server, const GuardOptions& guard, const std::atomic<int>& port) {
  server.set_default_headers({{"Content-Security-Policy", kPolicy},
                              {"X-Content-Type-Options", "nosniff"},
                              {"Referrer-Policy", "no-referrer"},
                              {"Cross-Origin-Resource-Policy", "same-origin"},
                              {"Cache-Control", "no-store"}});
  server.set_pre_routing_handler(
      [&guard, &port](const httplib::Request& request, httplib::Response& response) {
        RequestFacts facts = {.method = request.method,
                              .path = request.path,
                              .host = request.get_header_value("Host"),
                              .origin = request.get_header_value("Origin"),
                              .fetch_site = request.get_header_value("Sec-Fetch-Site"),
                              .authorization = request.get_header_value("Authorization")};
        if (guard.token.empty() && absl::StartsWith(facts.path, "/api/")) {
          facts.of_own_user = IsOfOwnUser(request, port);
        }
        const Verdict verdict = Judge(guard, facts);
        if (verdict.status == 200) return httplib::Server::HandlerResponse::Unhandled;
        response.status = verdict.status;
        response.set_content(verdict.reason + "\n", "text/plain; charset=utf-8");
        return httplib::Server::HandlerResponse::Handled;
      });
}

void SendAsset(absl::string_view name, httplib::Response& response) {
  const std::optional<Asset> asset = FindAsset(name);
  if (!asset.has_value()) {
    response.status = 404;
    response.set_content(absl::StrCat("there is no file ", name, "\n"), "text/plain");
    return;
  }
  const absl::string_view bytes = asset->bytes;
  response.set_content_provider(bytes.size(), asset->content_type,
                                [bytes](size_t from, size_t length, httplib::DataSink& sink) {
                                  return sink.write(bytes.data() + from, length);
                                });
}

// Every screen is the same document; its script looks at the path.
void AddPage(httplib::Server& server) {
  const auto page = [](const httplib::Request&, httplib::Response& response) {
    SendAsset("index.html", response);
  };
  for (const char* path : {"/", "/sweeps", "/compare", "/workers", R"(/sweep/.+)", R"(/run/\d+)"}) {
    server.Get(path, page);
  }
  server.Get(R"(/static/([A-Za-z0-9._-]+))",
             [](const httplib::Request& request, httplib::Response& response) {
               SendAsset(request.matches[1].str(), response);
             });
}

}  // namespace

struct Server::Parts {
  Options options;
  GuardOptions guard;
  std::unique_ptr<v1::ClientService::Stub> coordinator;
  std::atomic<int> port = 0;
  httplib::Server http;
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const Options& options, std::unique_ptr<v1::ClientService::Stub> coordinator) {
  ALLO_ASSIGN_OR_RETURN(const transport::Address address,
                        transport::ParseAddress(options.listen, "--listen", /*any_port=*/true));
  if (address.is_unix()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen ", options.listen, ": a browser needs HOST:PORT"));
  }
  const bool beyond_loopback = !transport::IsLoopbackOnly(address.host);
  auto parts = std::make_unique<Parts>();
  parts->options = options;
  parts->coordinator = std::move(coordinator);
  parts->guard.allow_changes = options.allow_changes;
  for (const std::string& name : options.names) {
    parts->guard.names.push_back(absl::AsciiStrToLower(name));
  }
  if (beyond_loopback) {
    parts->guard.names.push_back(absl::AsciiStrToLower(address.host));
    parts->guard.names.push_back(absl::AsciiStrToLower(HostName()));
    parts->guard.token = RandomHex128();
  }

  httplib::Server& http = parts->http;
  http.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  http.set_payload_max_length(kMostRequestBytes);
  http.set_tcp_nodelay(true);
  AddGuard(http, parts->guard, parts->port);
  AddPage(http);
  AddApi(http, parts->options, *parts->coordinator);

  ALLO_ASSIGN_OR_RETURN(const int port, transport::BindHttp(http, address, "--listen"));
  parts->port = port;
  parts->thread = transport::ServeHttp(http);
  transport::Address served = address;
  served.port = port;
  std::string url = absl::StrCat("http://", served.ToString(), "/");
  if (!parts->guard.token.empty()) absl::StrAppend(&url, "#token=", parts->guard.token);
  return std::unique_ptr<Server>(new Server(std::move(parts), std::move(url)));
}

Server::Server(std::unique_ptr<Parts> parts, std::string url)
    : parts_(std::move(parts)), url_(std::move(url)) {}

Server::~Server() { Stop(); }

void Server::Stop() {
  if (parts_ == nullptr) return;
  parts_->http.stop();
  parts_->thread.join();
  parts_.reset();
}

}  // namespace allometry::web
