#include "tests/testing/in_process_coordinator.h"

#include <cstdlib>
#include <filesystem>

#include "base/check.h"
#include "transport/connection.h"

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
  options.lease_ms = 3000;
  options.heartbeat_ms = 50;
  return options;
}

std::unique_ptr<InProcessCoordinator> InProcessCoordinator::Start(coordinator::Options options) {
  std::string folder = MakeTemporaryFolder();
  if (options.db_path.empty()) options.db_path = folder + "/allometry.db";
  if (options.listen.empty()) options.listen = "unix:" + folder + "/coordinator.sock";
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
  auto channel = transport::Connect({.address = address_, .token_file = options_.token_file});
  ALLO_CHECK(channel.ok()) << channel.status();
  return *channel;
}

std::unique_ptr<v1::ClientService::Stub> InProcessCoordinator::client() const {
  return v1::ClientService::NewStub(NewChannel());
}

std::unique_ptr<v1::WorkerService::Stub> InProcessCoordinator::worker() const {
  return v1::WorkerService::NewStub(NewChannel());
}

}  // namespace allometry::testing
