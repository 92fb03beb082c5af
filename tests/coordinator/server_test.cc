// Starting and stopping: who may reach it, what it refuses to open, and allo-coordinator itself.
#include "coordinator/server.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "proto/client.grpc.pb.h"
#include "proto/worker.grpc.pb.h"
#include "sqlite3.h"
#include "tests/coordinator/tiny_sweep.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kToken[] = "0123456789abcdef0123456789abcdef";

absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

class ServerTest : public ::testing::Test {
 protected:
  coordinator::Options PlainOptions() {
    coordinator::Options options;
    options.db_path = folder_.Path("allometry.db");
    options.listen = "127.0.0.1:0";
    return options;
  }
  coordinator::Options TlsOptions() {
    coordinator::Options options = PlainOptions();
    options.tls_cert_file = folder_.Path("cert.pem");
    options.tls_key_file = folder_.Path("key.pem");
    options.token_file = folder_.Path("token");
    const std::string command = absl::StrFormat(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
        "-keyout %s -out %s 2>/dev/null",
        options.tls_key_file, options.tls_cert_file);
    EXPECT_EQ(std::system(command.c_str()), 0) << "openssl is needed: apt-get install openssl";
    EXPECT_THAT(WriteFileAtomically(options.token_file, std::string(kToken) + "\n"), IsOk());
    return options;
  }

  static absl::Status ListSweeps(const std::shared_ptr<grpc::Channel>& channel,
                                 const std::string& authorization) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
    v1::ListSweepsResponse response;
    return ToAbsl(v1::ClientService::NewStub(channel)->ListSweeps(&context, {}, &response));
  }
  static std::shared_ptr<grpc::Channel> Plain(const std::string& address) {
    return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }

  TemporaryFolder folder_;
};

TEST_F(ServerTest, AddressBeyondLoopbackIsRefusedWithoutTlsAndToken) {
  coordinator::Options options = PlainOptions();
  options.listen = "0.0.0.0:0";
  EXPECT_THAT(coordinator::Server::Start(options),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not a loopback address")));
  EXPECT_NE(access(options.db_path.c_str(), F_OK), 0) << "nothing was made";
}

TEST_F(ServerTest, TlsWithTheTokenIsServedBeyondLoopback) {
  coordinator::Options options = TlsOptions();
  options.listen = "0.0.0.0:0";
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(options));
  const std::string port = server->address().substr(server->address().rfind(':'));
  ASSERT_OK_AND_ASSIGN(const std::string certificate, ReadFile(options.tls_cert_file));
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = certificate;
  const auto channel = grpc::CreateChannel("localhost" + port, grpc::SslCredentials(tls));
  EXPECT_OK(ListSweeps(channel, std::string("Bearer ") + kToken));
  EXPECT_THAT(ListSweeps(channel, "Bearer 0123456789abcdef0123456789abcdeF"),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(ListSweeps(channel, kToken), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(ListSweeps(channel, ""),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("--token-file")));
  EXPECT_THAT(ListSweeps(Plain("localhost" + port), std::string("Bearer ") + kToken),
              StatusIs(absl::StatusCode::kUnavailable))
      << "no TLS";
}

// A new method cannot forget the token: every one of the services is called with an empty message.
TEST_F(ServerTest, EveryMethodAsksForTheToken) {
  coordinator::Options options = PlainOptions();
  options.token_file = folder_.Path("token");
  ASSERT_OK(WriteFileAtomically(options.token_file, kToken));
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(options));
  const auto channel = Plain(server->address());
  int methods = 0;
  for (const char* name : {"allometry.v1.ClientService", "allometry.v1.WorkerService"}) {
    (void)v1::RecordBatch::descriptor();
    (void)v1::FitRequest::descriptor();
    const auto* service =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    ASSERT_NE(service, nullptr) << name;
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string path = std::string("/") + name + "/" + service->method(i)->name();
      grpc::GenericStub stub(channel);
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
      grpc::CompletionQueue queue;
      const auto call = stub.PrepareCall(&context, path, &queue);
      int steps = 0;
      const auto step = [&] {
        void* tag = nullptr;
        bool ok = false;
        ++steps;
        EXPECT_TRUE(queue.Next(&tag, &ok));
      };
      call->StartCall(&steps);
      step();
      const grpc::Slice empty("");
      call->WriteLast(grpc::ByteBuffer(&empty, 1), grpc::WriteOptions(), &steps);
      step();
      grpc::Status status;
      call->Finish(&status, &steps);
      step();
      // One that is not implemented yet gives nothing away either.
      EXPECT_THAT(status.error_code(), ::testing::AnyOf(grpc::StatusCode::UNAUTHENTICATED,
                                                        grpc::StatusCode::UNIMPLEMENTED))
          << path << ": " << status.error_message();
      ++methods;
    }
  }
  EXPECT_EQ(methods, 18);
}

TEST_F(ServerTest, DatabaseOfANewerVersionIsRefused) {
  const coordinator::Options options = PlainOptions();
  { ASSERT_OK(coordinator::Server::Start(options)); }
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(options.db_path.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA user_version = 1000", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  EXPECT_THAT(coordinator::Server::Start(options),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("1000")));
}

TEST_F(ServerTest, SecondCoordinatorOverOneFileIsRefused) {
  ASSERT_OK_AND_ASSIGN(const auto first, coordinator::Server::Start(PlainOptions()));
  EXPECT_THAT(coordinator::Server::Start(PlainOptions()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ServerTest, AddressInUseIsASentence) {
  ASSERT_OK_AND_ASSIGN(const auto first, coordinator::Server::Start(PlainOptions()));
  coordinator::Options options = PlainOptions();
  options.db_path = folder_.Path("other.db");
  options.listen = first->address();
  EXPECT_THAT(coordinator::Server::Start(options),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(first->address())));
}

TEST_F(ServerTest, CoordinatorProgramServesAndEndsCleanlyAtSigterm) {
  const std::string address_file = folder_.Path("address");
  const std::string db = folder_.Path("allometry.db");
  const std::string program = std::string(ALLO_BIN_DIR) + "/allo-coordinator";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(program.c_str(), program.c_str(), "--db", db.c_str(), "--listen", "127.0.0.1:0",
          "--address-file", address_file.c_str(), nullptr);
    _exit(127);
  }
  absl::StatusOr<std::string> address = ReadFile(address_file);
  for (int i = 0; i < 3000 && !address.ok(); ++i) {
    usleep(10'000);
    address = ReadFile(address_file);
  }
  ASSERT_OK(address);
  EXPECT_EQ(address->back(), '\n');
  address->pop_back();
  const auto channel = Plain(*address);
  grpc::ClientContext context;
  v1::CreateSweepResponse response;
  EXPECT_OK(
      ToAbsl(v1::ClientService::NewStub(channel)->CreateSweep(&context, Request(), &response)));
  kill(child, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);

  coordinator::Options options = PlainOptions();
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(options));
  grpc::ClientContext again;
  v1::ListSweepsResponse sweeps;
  ASSERT_OK(ToAbsl(
      v1::ClientService::NewStub(Plain(server->address()))->ListSweeps(&again, {}, &sweeps)));
  EXPECT_EQ(sweeps.sweeps_size(), 1) << "what was answered is in the file";
}

}  // namespace
}  // namespace allometry::testing
