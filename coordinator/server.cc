#include "coordinator/server.h"

#include <chrono>
#include <utility>

#include "coordinator/access.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"
#include "proto/client.grpc.pb.h"
#include "proto/worker.grpc.pb.h"

namespace allometry::coordinator {
namespace {

// A submission carries a sweep file and a dataset's manifest; a stream's batch some thousand
// records. Replies list every run of a sweep.
constexpr int kMaxRequestBytes = 16 << 20;
constexpr int kMaxReplyBytes = 64 << 20;
constexpr int kMaxThreads = 512;

}  // namespace

// Destroyed in reverse order.
struct Server::Parts {
  v1::ClientService::Service client;
  v1::WorkerService::Service worker;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options) {
  ALLO_RETURN_IF_ERROR(Validate(options));
  ALLO_ASSIGN_OR_RETURN(ListenAddress address, ParseListenAddress(options.listen));
  ALLO_ASSIGN_OR_RETURN(auto credentials, MakeServerCredentials(options));
  auto parts = std::make_unique<Parts>();

  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("allo-coordinator");
  quota.SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.SetMaxSendMessageSize(kMaxReplyBytes);
  // Two coordinators on one port would share its calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(address.ToString(), credentials, &address.port);
  builder.RegisterService(&parts->client);
  builder.RegisterService(&parts->worker);
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

void Server::Stop() {
  if (parts_ == nullptr) return;
  parts_->server->Shutdown(std::chrono::system_clock::now());
  parts_->server->Wait();
  parts_.reset();
}

}  // namespace allometry::coordinator
