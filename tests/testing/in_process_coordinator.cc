#include "tests/testing/in_process_coordinator.h"

#include <cstdlib>
#include <filesystem>

#include "base/check.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace allometry::testing {
namespace {

std::string MakeTemporaryFolder() {
  std::string path = (std::filesystem::temp_directory_path() / "allo-coordinator-XXXXXX").string();
  ALLO_CHECK(mkdtemp(path.data()) != nullptr) << path;
  return path;
}

}  // namespace

coordinator::Options InProcessCoordinator::DefaultOptions() {
  coordinator::Options options;
  options.listen = "127.0.0.1:0";
  options.lease_ms = 3000;
  options.heartbeat_ms = 50;
  return options;
}

std::unique_ptr<InProcessCoordinator> InProcessCoordinator::Start(coordinator::Options options) {
  std::string folder = MakeTemporaryFolder();
  if (options.db_path.empty()) options.db_path = folder + "/allometry.db";
  auto started = std::unique_ptr<InProcessCoordinator>(
      new InProcessCoordinator(std::move(options), std::move(folder)));
  started->Restart();
  return started;
}

InProcessCoordinator::InProcessCoordinator(coordinator::Options options, std::string folder)
    : folder_(std::move(folder)), options_(std::move(options)) {}

InProcessCoordinator::~InProcessCoordinator() {
  Stop();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void InProcessCoordinator::Stop() { server_.reset(); }

void InProcessCoordinator::Restart() {
  Stop();
  auto server = coordinator::Server::Start(options_);
  ALLO_CHECK(server.ok()) << server.status().message();
  server_ = *std::move(server);
  address_ = server_->address();
  options_.listen = address_;
}

std::shared_ptr<grpc::Channel> InProcessCoordinator::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A restarted coordinator is found at once, not after gRPC's back-off.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<v1::ClientService::Stub> InProcessCoordinator::client() const {
  return v1::ClientService::NewStub(NewChannel());
}

std::unique_ptr<v1::WorkerService::Stub> InProcessCoordinator::worker() const {
  return v1::WorkerService::NewStub(NewChannel());
}

}  // namespace allometry::testing
