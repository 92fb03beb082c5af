#include "coordinator/server.h"

#include <chrono>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "base/private_files.h"
#include "base/steady_wall_clock.h"
#include "coordinator/leases/dispatch.h"
#include "coordinator/metrics/metrics_server.h"
#include "coordinator/metrics/metrics_text.h"
#include "coordinator/services/client_service.h"
#include "coordinator/services/worker_service.h"
#include "coordinator/stages/stages.h"
#include "coordinator/store/change_feed.h"
#include "coordinator/store/store.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"
#include "transport/listener.h"
#include "transport/server_trust.h"
#include "transport/token.h"

namespace allometry::coordinator {
namespace {

// A submission carries a sweep file and a dataset's manifest; a stream's batch some thousand
// records: a message may grow thirtyfold when it is parsed. Replies list every run of a sweep.
constexpr int kMaxRequestBytes = 4 << 20;
constexpr int kMaxReplyBytes = 64 << 20;
// What gRPC may hold of messages on their way; beyond it senders wait.
constexpr size_t kMaxBufferedBytes = size_t{512} << 20;
// Calls of one connection at once; an agent has three, a watching `allo` one.
constexpr int kMaxCallsAConnection = 200;
// A connection that says nothing: before it is one, between calls, and when its host is gone.
constexpr int kHandshakeMs = 10'000;
constexpr int kIdleMs = 300'000;
constexpr int kPingEveryMs = 30'000;
constexpr int kPingTimeoutMs = 20'000;
// Streams hold a thread each: 1024 agents, 164 long calls of clients, and short calls beside them.
constexpr int kMaxThreads = 1500;

constexpr int kSchemaVersions = 32;  // more than there were

// The listener looks at who connects to a Unix socket.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const transport::Address& address, const Options& options) {
  if (address.is_unix()) return grpc::InsecureServerCredentials();
  ALLO_RETURN_IF_ERROR(transport::MakeTokenFile(options.token_file));
  return transport::MakeServerTrust({.token_file = options.token_file,
                                     .tls_cert_file = options.tls_cert_file,
                                     .tls_key_file = options.tls_key_file});
}

// The database and what lies beside it: they hold the secrets of leases, and an earlier version
// made them for everyone to read.
absl::Status TakeDatabaseFromOthers(const std::string& db_path) {
  std::vector<std::string> paths;
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    paths.push_back(absl::StrCat(db_path, suffix));
  }
  for (int version = 1; version <= kSchemaVersions; ++version) {
    paths.push_back(absl::StrCat(db_path, ".v", version, ".backup"));
  }
  for (const std::string& path : paths) ALLO_RETURN_IF_ERROR(TakeFromOthers(path));
  return absl::OkStatus();
}

void SetLimits(grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota("allo-coordinator");
  quota.SetMaxThreads(kMaxThreads);
  quota.Resize(kMaxBufferedBytes);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.SetMaxSendMessageSize(kMaxReplyBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCallsAConnection);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEveryMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
}

}  // namespace

// In the order in which they are made; Stop takes them apart from the end.
struct Server::Parts {
  explicit Parts(const Options& options)
      : clock(*options.clock),
        dispatch({.lease_ms = options.lease_ms,
                  .heartbeat_ms = options.heartbeat_ms,
                  .clock = &clock,
                  .preempt_after_ms = options.preempt_after_ms,
                  .preempt_within_ms = options.preempt_within_ms},
                 feed),
        stages(feed) {}

  ~Parts() {
    metrics.reset();
    feed.Close();
    if (listener != nullptr) listener->Stop();
    if (server != nullptr) {
      // Calls that are short end by themselves; streams are ended.
      server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
      server->Wait();
    }
    stages.Stop();
    dispatch.Stop();
    // Its last commits still call the dispatch and the stages.
    store.reset();
  }

  const SteadyWallClock clock;
  std::unique_ptr<transport::Listener> listener;
  std::shared_ptr<grpc::ServerCredentials> credentials;
  ChangeFeed feed;
  Dispatch dispatch;
  Stages stages;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<ClientService> client;
  std::unique_ptr<WorkerService> worker;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<MetricsServer> metrics;
};

absl::Status Server::StartMetrics(const Options& options, Parts& parts) {
  ALLO_ASSIGN_OR_RETURN(const transport::Address address, MetricsAddressOf(options));
  const int64_t start_unix_us = parts.clock.UnixMicros();
  ALLO_ASSIGN_OR_RETURN(
      parts.metrics,
      MetricsServer::Start(address, [&parts, start_unix_us]() -> absl::StatusOr<std::string> {
        ALLO_ASSIGN_OR_RETURN(const store::Statistics stored, parts.store->ReadStatistics());
        return MetricsText(stored, parts.dispatch.ReadStatistics(), start_unix_us,
                           parts.clock.UnixMicros());
      }));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options) {
  ALLO_RETURN_IF_ERROR(Validate(options));
  ALLO_ASSIGN_OR_RETURN(const transport::Address address, ListenAddressOf(options));
  auto parts = std::make_unique<Parts>(options);
  ALLO_ASSIGN_OR_RETURN(parts->listener, transport::Listener::Open(address));
  ALLO_ASSIGN_OR_RETURN(parts->credentials, MakeCredentials(address, options));

  store::Options store_options;
  store_options.committed = [parts = parts.get()](absl::Span<const store::RunRow> rows) {
    parts->dispatch.Committed(rows);
    parts->stages.Committed(rows);
  };
  store_options.clock = &parts->clock;
  store_options.lost = options.lost;
  ALLO_ASSIGN_OR_RETURN(parts->store, store::Store::Open(options.db_path, store_options));
  ALLO_RETURN_IF_ERROR(TakeDatabaseFromOthers(options.db_path));
  if (const std::string& missing = parts->store->missing_log(); !missing.empty()) {
    std::cerr << "allo-coordinator: " << missing << std::endl;
    ALLO_RETURN_IF_ERROR(parts->store->AddEvent(0, 0, missing));
  }
  ALLO_RETURN_IF_ERROR(parts->dispatch.Start(*parts->store));
  ALLO_RETURN_IF_ERROR(
      parts->stages.Start(*parts->store, [dispatch = &parts->dispatch] { dispatch->Decide(); }));
  parts->client =
      std::make_unique<ClientService>(*parts->store, parts->dispatch, parts->stages, parts->feed);
  parts->worker =
      std::make_unique<WorkerService>(parts->dispatch, options.lease_ms, *options.clock);

  grpc::ServerBuilder builder;
  SetLimits(builder);
  builder.RegisterService(parts->client.get());
  builder.RegisterService(parts->worker.get());
  std::unique_ptr<transport::Listener::Acceptor> acceptor =
      builder.experimental().AddExternalConnectionAcceptor(
          grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
          parts->credentials);
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr) return absl::InternalError("gRPC cannot start a server");
  if (!options.metrics.empty()) ALLO_RETURN_IF_ERROR(StartMetrics(options, *parts));
  parts->listener->Start(std::move(acceptor));
  std::string served = parts->listener->address().ToString();
  return std::unique_ptr<Server>(new Server(std::move(parts), std::move(served)));
}

Server::Server(std::unique_ptr<Parts> parts, std::string address)
    : parts_(std::move(parts)), address_(std::move(address)) {}

std::string Server::metrics_url() const {
  return parts_ == nullptr || parts_->metrics == nullptr ? "" : parts_->metrics->url();
}

Server::~Server() { Stop(); }

void Server::Stop() { parts_.reset(); }

}  // namespace allometry::coordinator
