// A real coordinator inside a test: gRPC on a loopback port, SQLite in a temporary folder.
//
//   auto coordinator = InProcessCoordinator::Start();
//   auto client = coordinator->client();
//   coordinator->Restart();   // the file stays, the port too, so channels come back
//
// Start fails the test's process where the coordinator cannot start. One thread.
#pragma once

#include <memory>
#include <string>

#include "coordinator/options.h"
#include "coordinator/server.h"
#include "grpcpp/channel.h"
#include "proto/client.grpc.pb.h"
#include "proto/worker.grpc.pb.h"

namespace allometry::testing {

class InProcessCoordinator {
 public:
  // Short enough for tests; the database path and the socket are chosen here.
  static coordinator::Options DefaultOptions();
  static std::unique_ptr<InProcessCoordinator> Start(
      coordinator::Options options = DefaultOptions());
  // Removes the temporary folder.
  ~InProcessCoordinator();

  // Ends the server as if its machine had stopped it: open calls get UNAVAILABLE.
  void Stop();
  // Serves the same file at the same address again.
  void Restart();

  std::string address() const { return address_; }  // "unix:/tmp/.../coordinator.sock"
  const std::string& folder() const { return folder_; }
  const std::string& db_path() const { return options_.db_path; }

  // A channel of its own, never shared with another call of this function.
  std::shared_ptr<grpc::Channel> NewChannel() const;
  std::unique_ptr<v1::ClientService::Stub> client() const;
  std::unique_ptr<v1::WorkerService::Stub> worker() const;

 private:
  InProcessCoordinator(coordinator::Options options, std::string folder);

  const std::string folder_;
  coordinator::Options options_;
  std::string address_;
  std::unique_ptr<coordinator::Server> server_;
};

}  // namespace allometry::testing
