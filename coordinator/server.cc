#include "coordinator/server.h"

#include <chrono>
#include <utility>

#include "coordinator/services/access.h"
#include "coordinator/store/change_feed.h"
#include "coordinator/services/client_service.h"
#include "coordinator/leases/dispatch.h"
#include "coordinator/retry_table.h"
#include "coordinator/stages/stages.h"
#include "coordinator/store/store.h"
#include "coordinator/services/worker_service.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"

namespace allometry::coordinator {
namespace {

// A submission carries a sweep file and a dataset's manifest; a stream's batch some thousand
// records. Replies list every run of a sweep.
constexpr int kMaxRequestBytes = 16 << 20;
constexpr int kMaxReplyBytes = 64 << 20;
// Streams and watchers hold a thread each: 1024 agents, 128 watchers, and calls beside them.
constexpr int kMaxThreads = 1500;

}  // namespace

// In the order in which they are made; Stop takes them apart from the end.
struct Server::Parts {
  Parts(const Options& options, std::string token)
      : token(std::move(token)),
        dispatch({.lease_ms = options.lease_ms,
                  .heartbeat_ms = options.heartbeat_ms,
                  .clock = options.clock,
                  .preempt_after_ms = options.preempt_after_ms,
                  .preempt_within_ms = options.preempt_within_ms},
                 feed),
        stages(feed) {}

  ~Parts() {
    feed.Close();
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

  const TokenCheck token;
  ChangeFeed feed;
  Dispatch dispatch;
  Stages stages;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<ClientService> client;
  std::unique_ptr<WorkerService> worker;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options) {
  ALLO_RETURN_IF_ERROR(Validate(options));
  ALLO_ASSIGN_OR_RETURN(ListenAddress address, ParseListenAddress(options.listen));
  ALLO_ASSIGN_OR_RETURN(auto credentials, MakeServerCredentials(options));
  ALLO_ASSIGN_OR_RETURN(std::string token, ReadToken(options.token_file));
  auto parts = std::make_unique<Parts>(options, std::move(token));

  store::Options store_options;
  store_options.exit_rule = ApplyRetryTable;
  store_options.committed = [parts = parts.get()](absl::Span<const store::RunRow> rows) {
    parts->dispatch.Committed(rows);
    parts->stages.Committed(rows);
  };
  store_options.clock = options.clock;
  ALLO_ASSIGN_OR_RETURN(parts->store, store::Store::Open(options.db_path, store_options));
  ALLO_RETURN_IF_ERROR(parts->dispatch.Start(*parts->store));
  ALLO_RETURN_IF_ERROR(
      parts->stages.Start(*parts->store, [dispatch = &parts->dispatch] { dispatch->Decide(); }));
  parts->client = std::make_unique<ClientService>(*parts->store, parts->dispatch, parts->stages,
                                                  parts->feed, parts->token);
  parts->worker = std::make_unique<WorkerService>(parts->dispatch, parts->token);

  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("allo-coordinator");
  quota.SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.SetMaxSendMessageSize(kMaxReplyBytes);
  // Two coordinators on one port would share its calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(address.ToString(), credentials, &address.port);
  builder.RegisterService(parts->client.get());
  builder.RegisterService(parts->worker.get());
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", options.listen,
        ": another program has the port, the address is not this machine's, or the TLS "
        "certificate and key do not fit"));
  }
  return std::unique_ptr<Server>(new Server(std::move(parts), address.ToString()));
}

Server::Server(std::unique_ptr<Parts> parts, std::string address)
    : parts_(std::move(parts)), address_(std::move(address)) {}

Server::~Server() { Stop(); }

void Server::Stop() { parts_.reset(); }

}  // namespace allometry::coordinator
