// Starting and stopping: who may reach it, what it refuses to open, and allo-coordinator itself.
#include "coordinator/server.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
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
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "proto/client.grpc.pb.h"
#include "proto/worker.grpc.pb.h"
#include "sqlite3.h"
#include "tests/coordinator/tiny_sweep.h"
#include "tests/testing/eventually.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "transport/connection.h"
#include "transport/identity.h"

namespace allometry::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kToken[] = "0123456789abcdef0123456789abcdef";
constexpr char kNewToken[] = "fedcba9876543210fedcba9876543210";

absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

class ServerTest : public ::testing::Test {
 protected:
  coordinator::Options PlainOptions() {
    coordinator::Options options;
    options.db_path = folder_.Path("allometry.db");
    options.listen = "unix:" + folder_.Path("coordinator.sock");
    return options;
  }
  coordinator::Options TcpOptions() {
    coordinator::Options options = PlainOptions();
    options.listen = "127.0.0.1:0";
    options.token_file = TokenFile("token", std::string(kToken) + "\n");
    return options;
  }
  coordinator::Options TlsOptions() {
    coordinator::Options options = TcpOptions();
    options.tls_cert_file = folder_.Path("cert.pem");
    options.tls_key_file = folder_.Path("key.pem");
    MakeCertificate("localhost");
    return options;
  }
  // cert.pem and key.pem, for localhost, with `name` in it.
  void MakeCertificate(const std::string& name) {
    const std::string command = absl::StrFormat(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=%s -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
        "-keyout %s.new -out %s.new 2>/dev/null && mv %s.new %s && mv %s.new %s",
        name, folder_.Path("key.pem"), folder_.Path("cert.pem"), folder_.Path("key.pem"),
        folder_.Path("key.pem"), folder_.Path("cert.pem"), folder_.Path("cert.pem"));
    EXPECT_EQ(std::system(command.c_str()), 0) << "openssl is needed: apt-get install openssl";
  }
  std::string TokenFile(const std::string& name, const std::string& text) {
    const std::string path = folder_.Path(name);
    EXPECT_THAT(WriteFileAtomically(path, text), IsOk());
    EXPECT_EQ(chmod(path.c_str(), 0600), 0);
    return path;
  }

  static absl::Status ListSweeps(const std::shared_ptr<grpc::Channel>& channel,
                                 const std::string& authorization = "") {
    grpc::ClientContext context;
    context.set_deadline(testing::RpcDeadline());
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
    v1::ListSweepsResponse response;
    return ToAbsl(v1::ClientService::NewStub(channel)->ListSweeps(&context, {}, &response));
  }
  // As `allo` and the worker connect.
  static absl::Status AskOnce(const transport::ConnectionOptions& options) {
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = transport::Connect(options);
    if (!channel.ok()) return channel.status();
    const absl::Status status = ListSweeps(*channel);
    const grpc::Status told(static_cast<grpc::StatusCode>(status.code()),
                            std::string(status.message()));
    return absl::Status(status.code(), transport::PlainReason(options, told));
  }
  // TLS with this certificate as the only authority, and a call's own metadata.
  static std::shared_ptr<grpc::Channel> Tls(const std::string& address,
                                            const std::string& certificate,
                                            const std::string& name) {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = certificate;
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride(name);
    return grpc::CreateCustomChannel(address, grpc::SslCredentials(tls), arguments);
  }
  static std::shared_ptr<grpc::Channel> WithoutToken(const std::string& address) {
    const auto identity = transport::IdentityOf(kToken);
    return Tls(address, identity->certificate, identity->name);
  }
  static std::shared_ptr<grpc::Channel> Plain(const std::string& address) {
    return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }

  TemporaryFolder folder_;
};

TEST_F(ServerTest, TcpIsRefusedWithoutATokenAndNothingIsMade) {
  for (const char* listen : {"0.0.0.0:0", "127.0.0.1:0"}) {
    coordinator::Options options = PlainOptions();
    options.listen = listen;
    EXPECT_THAT(coordinator::Server::Start(options),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--token-file")));
    EXPECT_NE(access(options.db_path.c_str(), F_OK), 0) << "nothing was made";
  }
}

TEST_F(ServerTest, AMissingTokenFileIsMade) {
  coordinator::Options options = TcpOptions();
  options.token_file = folder_.Path("new-token");
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(options));
  EXPECT_OK(AskOnce({.address = server->address(), .token_file = options.token_file}));
}

TEST_F(ServerTest, TheTokenAloneProvesBothSides) {
  coordinator::Options options = TcpOptions();
  options.listen = "0.0.0.0:0";
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(options));
  const std::string address = "127.0.0.1" + server->address().substr(server->address().rfind(':'));
  EXPECT_OK(AskOnce({.address = address, .token_file = options.token_file}));
  const std::string other = TokenFile("other", "0123456789abcdef0123456789abcdeF\n");
  EXPECT_THAT(AskOnce({.address = address, .token_file = other}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("does not know the token in")));
  EXPECT_THAT(AskOnce({.address = address}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("asks for a token")));
  const auto channel = WithoutToken(address);
  EXPECT_OK(ListSweeps(channel, std::string("Bearer ") + kToken));
  EXPECT_THAT(ListSweeps(channel, "Bearer 0123456789abcdef0123456789abcdeF"),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(ListSweeps(channel, kToken), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(ListSweeps(channel),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("--token-file")));
  EXPECT_THAT(ListSweeps(Plain(address), std::string("Bearer ") + kToken),
              StatusIs(absl::StatusCode::kUnavailable))
      << "no TLS";
}

TEST_F(ServerTest, ACertificateServesClientsWithItsAuthorityAndThoseWithTheTokenAlone) {
  const coordinator::Options options = TlsOptions();
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(options));
  const std::string address = "localhost" + server->address().substr(server->address().rfind(':'));
  EXPECT_OK(AskOnce(
      {.address = address, .tls_ca = options.tls_cert_file, .token_file = options.token_file}));
  EXPECT_OK(AskOnce({.address = address, .token_file = options.token_file}));
  EXPECT_THAT(AskOnce({.address = address, .tls_ca = options.tls_cert_file}),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("--token-file")));
  EXPECT_THAT(AskOnce({.address = address,
                       .tls_ca = options.tls_cert_file,
                       .token_file = TokenFile("other", "0123456789abcdef0123456789abcdeF\n")}),
              StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(ServerTest, AKeyThatIsNotTheCertificatesIsASentence) {
  coordinator::Options options = TlsOptions();
  const std::string old_key = folder_.Path("old-key.pem");
  ASSERT_EQ(rename(options.tls_key_file.c_str(), old_key.c_str()), 0);
  MakeCertificate("localhost");
  options.tls_key_file = old_key;
  EXPECT_THAT(coordinator::Server::Start(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not the key of")));
}

TEST_F(ServerTest, TokensAreReadAgainAndTwoCountForAWhile) {
  const coordinator::Options options = TcpOptions();
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(options));
  const std::string address = server->address();
  const std::string old_token = TokenFile("old", std::string(kToken) + "\n");
  const std::string new_token = TokenFile("new", std::string(kNewToken) + "\n");
  ASSERT_OK_AND_ASSIGN(const auto open,
                       transport::Connect({.address = address, .token_file = old_token}));
  EXPECT_OK(ListSweeps(open));
  EXPECT_THAT(AskOnce({.address = address, .token_file = new_token}),
              StatusIs(absl::StatusCode::kUnavailable));

  TokenFile("token", absl::StrCat(kNewToken, "\n", kToken, "\n"));
  EXPECT_OK(ListSweeps(open));
  EXPECT_OK(AskOnce({.address = address, .token_file = old_token}));
  EXPECT_OK(AskOnce({.address = address, .token_file = new_token}));
  EXPECT_OK(AskOnce({.address = address, .token_file = options.token_file}))
      << "a client of the same file brings the first";

  TokenFile("token", std::string(kNewToken) + "\n");
  EXPECT_THAT(ListSweeps(open), StatusIs(absl::StatusCode::kUnauthenticated))
      << "an open connection too";
  EXPECT_THAT(AskOnce({.address = address, .token_file = old_token}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(AskOnce({.address = address, .token_file = new_token}));

  // Half a change takes nothing away.
  TokenFile("token", "short\n");
  EXPECT_OK(AskOnce({.address = address, .token_file = new_token}));
}

TEST_F(ServerTest, ACertificateIsReadAgain) {
  const coordinator::Options options = TlsOptions();
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(options));
  const std::string address = "localhost" + server->address().substr(server->address().rfind(':'));
  ASSERT_OK_AND_ASSIGN(const std::string first, ReadFile(options.tls_cert_file));
  const std::string bearer = std::string("Bearer ") + kToken;
  EXPECT_OK(ListSweeps(Tls(address, first, "localhost"), bearer));
  MakeCertificate("renewed");
  ASSERT_OK_AND_ASSIGN(const std::string second, ReadFile(options.tls_cert_file));
  EXPECT_OK(ListSweeps(Tls(address, second, "localhost"), bearer));
  EXPECT_THAT(ListSweeps(Tls(address, first, "localhost"), bearer),
              StatusIs(absl::StatusCode::kUnavailable));
}

// Who took the port while the coordinator was down. It speaks TLS with a certificate of its own.
TEST_F(ServerTest, AnImpostorIsToldNothing) {
  class Impostor final : public v1::ClientService::Service {
   public:
    grpc::Status ListSweeps(grpc::ServerContext*, const v1::ListSweepsRequest*,
                            v1::ListSweepsResponse*) override {
      ++calls;
      return grpc::Status::OK;
    }
    std::atomic<int> calls = 0;
  } impostor;
  ASSERT_OK_AND_ASSIGN(const transport::Identity identity,
                       transport::IdentityOf("the impostor's own token"));
  for (const bool with_tls : {true, false}) {
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back({identity.key, identity.certificate});
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(
        "127.0.0.1:0",
        with_tls ? grpc::SslServerCredentials(tls) : grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&impostor);
    const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    EXPECT_THAT(AskOnce({.address = absl::StrCat("127.0.0.1:", port),
                         .token_file = TokenFile("token", std::string(kToken) + "\n")}),
                StatusIs(absl::StatusCode::kUnavailable,
                         HasSubstr(with_tls ? "does not know the token" : "not a coordinator")));
  }
  EXPECT_EQ(impostor.calls, 0);
}

// 15 MB that nobody may send: refused for the token, not for the size, so they were not taken in.
TEST_F(ServerTest, ATokenIsAskedForBeforeTheMessageIsRead) {
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(TcpOptions()));
  const auto stub = v1::ClientService::NewStub(WithoutToken(server->address()));
  v1::CreateSweepRequest large;
  large.set_sweep_yaml(std::string(15 << 20, 'x'));
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    context.set_deadline(testing::RpcDeadline());
    v1::CreateSweepResponse response;
    EXPECT_THAT(ToAbsl(stub->CreateSweep(&context, large, &response)),
                StatusIs(absl::StatusCode::kUnauthenticated));
  }
  grpc::ClientContext context;
  context.AddMetadata("authorization", std::string("Bearer ") + kToken);
  v1::CreateSweepResponse response;
  EXPECT_THAT(ToAbsl(stub->CreateSweep(&context, large, &response)),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

// A new method cannot forget the token: every one of the services is called with an empty message.
TEST_F(ServerTest, EveryMethodAsksForTheToken) {
  ASSERT_OK_AND_ASSIGN(const auto server, coordinator::Server::Start(TcpOptions()));
  const auto channel = WithoutToken(server->address());
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
      context.set_deadline(testing::RpcDeadline());
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
  EXPECT_EQ(methods, 25);
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
  coordinator::Options second = PlainOptions();
  second.listen = "unix:" + folder_.Path("second.sock");
  EXPECT_THAT(coordinator::Server::Start(second), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ServerTest, AnAddressInUseIsNamedFirstAndNothingIsMade) {
  for (const coordinator::Options& options : {PlainOptions(), TcpOptions()}) {
    ASSERT_OK_AND_ASSIGN(const auto first, coordinator::Server::Start(options));
    coordinator::Options other = options;
    other.db_path = folder_.Path("other.db");
    other.listen = first->address();
    EXPECT_THAT(
        coordinator::Server::Start(other),
        StatusIs(absl::StatusCode::kUnavailable,
                 StartsWith(absl::StrCat(first->address(), " is taken by process ", getpid()))));
    EXPECT_NE(access(other.db_path.c_str(), F_OK), 0);
  }
}

TEST_F(ServerTest, CoordinatorProgramServesAndEndsCleanlyAtSigterm) {
  const std::string address_file = folder_.Path("address");
  const std::string db = folder_.Path("allometry.db");
  const std::string listen = "unix:" + folder_.Path("program.sock");
  const std::string program = std::string(ALLO_BIN_DIR) + "/allo-coordinator";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(program.c_str(), program.c_str(), "--db", db.c_str(), "--listen", listen.c_str(),
          "--address-file", address_file.c_str(), nullptr);
    _exit(127);
  }
  absl::StatusOr<std::string> address = ReadFile(address_file);
  (void)testing::Eventually([&] {
    address = ReadFile(address_file);
    return address.ok();
  });
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
