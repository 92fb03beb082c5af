// The real programs finding each other, and what they say where they do not.
#include "transport/connection.h"

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/client.grpc.pb.h"
#include "tests/testing/child_process.h"
#include "tests/testing/eventually.h"
#include "tests/testing/shell.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr uid_t kNobody = 65534;
constexpr char kToken[] = "0123456789abcdef0123456789abcdef";

// Standard output and error together.
Outcome Together(const std::string& command) {
  return testing::Shell("( " + command + " ) 2>&1 </dev/null");
}

class ConnectionTest : public ::testing::Test {
 protected:
  static Outcome Allo(const std::string& arguments, const std::string& environment = "") {
    return Together(absl::StrCat(environment, " ", ALLO_BIN_DIR, "/allo ", arguments));
  }
  // The address it serves, or its log where it did not start.
  std::string StartCoordinator(const std::vector<std::string>& flags = {}) {
    std::vector<std::string> command = {ALLO_BIN_DIR "/allo-coordinator", "--db",
                                        folder_.Path("sweeps.db"), "--address-file",
                                        folder_.Path("address")};
    command.insert(command.end(), flags.begin(), flags.end());
    coordinator_.Start(command, folder_.Path("log"));
    absl::StatusOr<std::string> address;
    const auto serves = [&] { return (address = ReadFile(folder_.Path("address"))).ok(); };
    if (Eventually(serves)) return std::string(absl::StripAsciiWhitespace(*address));
    return ReadFile(folder_.Path("log")).value_or("no log");
  }
  std::string StartOnTcp() {
    return StartCoordinator({"--listen", "127.0.0.1:0", "--token-file", Token()});
  }
  std::string Token(const std::string& name = "token",
                    const std::string& text = std::string(kToken) + "\n") {
    const std::string path = folder_.Path(name);
    EXPECT_OK(WriteFileAtomically(path, text));
    EXPECT_EQ(chmod(path.c_str(), 0600), 0);
    return path;
  }

  const TemporaryFolder folder_;
  ChildProcess coordinator_;
};

TEST_F(ConnectionTest, WithoutAnyOptionTheyFindEachOther) {
  // Not the user's own: a folder that stands for /run/user/UID.
  ASSERT_EQ(chmod(folder_.path().c_str(), 0700), 0);
  const std::string environment = "XDG_RUNTIME_DIR=" + folder_.path();
  ASSERT_EQ(setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1), 0);
  EXPECT_EQ(StartCoordinator(), "unix:" + folder_.Path("allometry/coordinator.sock"));
  unsetenv("XDG_RUNTIME_DIR");
  const Outcome outcome = Allo("sweeps", environment);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  const Outcome second = Together(absl::StrCat(environment, " ", ALLO_BIN_DIR,
                                               "/allo-coordinator --db ", folder_.Path("b.db")));
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.output, HasSubstr("coordinator.sock is taken by process "));
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("b.db")));
}

TEST_F(ConnectionTest, ATakenPortIsNamedFirstWithoutGrpcsWords) {
  const std::string address = StartOnTcp();
  ASSERT_THAT(address, StartsWith("127.0.0.1:"));
  const Outcome second =
      Together(absl::StrCat(ALLO_BIN_DIR, "/allo-coordinator --db ", folder_.Path("b.db"),
                            " --listen ", address, " --token-file ", Token()));
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.output,
              StartsWith(absl::StrCat("allo-coordinator: ", address, " is taken by process ")));
  EXPECT_THAT(second.output, HasSubstr("(allo-coordinat"));
}

TEST_F(ConnectionTest, AnAddressThatIsNoneIsNamedByEveryProgram) {
  for (const char* address : {"http://localhost:7447", "localhost:99999", "localhost"}) {
    const std::string variable = absl::StrCat("ALLO_COORDINATOR=", address);
    const Outcome allo = Allo("sweeps", variable);
    EXPECT_EQ(allo.exit_code, 2) << allo.output;
    EXPECT_THAT(allo.output, AllOf(StartsWith(absl::StrCat("ALLO_COORDINATOR '", address, "': ")),
                                   HasSubstr("HOST:PORT")));
    const Outcome option = Allo(absl::StrCat("sweeps --coordinator ", address));
    EXPECT_EQ(option.exit_code, 2);
    EXPECT_THAT(option.output, StartsWith(absl::StrCat("--coordinator '", address, "': ")));
    const std::string folders =
        absl::StrCat(" --state-dir ", folder_.Path("w"), " --run-root ", folder_.Path("r"),
                     " --data-dir ", folder_.Path("d"), " --slots cpu:1 --trainer /bin/true");
    const Outcome worker =
        Together(absl::StrCat(variable, " ", ALLO_BIN_DIR, "/allo-worker", folders));
    EXPECT_EQ(worker.exit_code, 2);
    EXPECT_THAT(worker.output, HasSubstr(absl::StrCat("'", address, "': ")));
    const Outcome coordinator = Together(absl::StrCat(ALLO_BIN_DIR, "/allo-coordinator --db ",
                                                      folder_.Path("x.db"), " --listen ", address));
    EXPECT_EQ(coordinator.exit_code, 2);
    EXPECT_THAT(coordinator.output, HasSubstr(absl::StrCat("--listen '", address, "': ")));
    EXPECT_FALSE(std::filesystem::exists(folder_.Path("x.db")));
  }
}

// Proxies that nobody answers: 127.0.0.1:1.
TEST_F(ConnectionTest, LoopbackNeverGoesThroughAProxy) {
  const std::string address = StartOnTcp();
  ASSERT_THAT(address, StartsWith("127.0.0.1:"));
  for (const char* name :
       {"http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "GRPC_PROXY"}) {
    const Outcome outcome =
        Allo(absl::StrCat("sweeps --coordinator ", address, " --token-file ", Token()),
             absl::StrCat("env -u no_proxy -u NO_PROXY ", name, "=http://127.0.0.1:1"));
    EXPECT_EQ(outcome.exit_code, 0) << name << ": " << outcome.output;
  }
}

TEST_F(ConnectionTest, ElsewhereItIsSaidThatAProxyIsUsed) {
  const std::string environment =
      "env -u no_proxy -u NO_PROXY HTTPS_PROXY=http://me:secret@127.0.0.1:1 ";
  const Outcome outcome =
      Allo("sweeps --coordinator 203.0.113.1:7447 --token-file " + Token(), environment);
  EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("through the proxy 127.0.0.1:1 that HTTPS_PROXY names"),
                    Not(HasSubstr("secret"))));
}

TEST_F(ConnectionTest, WhyNobodyAnswersIsSaidInPlainWords) {
  const auto expect = [&](const std::string& arguments, int exit_code, const std::string& words) {
    const Outcome outcome = Allo("sweeps " + arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(words));
    for (const char* internal : {"ipv4:", "failed to connect", "UNKNOWN", "ssl_transport", "E11"}) {
      EXPECT_THAT(outcome.output, Not(HasSubstr(internal)));
    }
  };
  expect("--coordinator unix:" + folder_.Path("none.sock"), 3, "nothing listens there");
  expect("--coordinator unix:" + folder_.Path("no-folder/none.sock"), 3, "nothing listens there");
  expect("--coordinator 127.0.0.1:1", 3, "nothing listens there");
  const std::string address = StartOnTcp();
  expect("--coordinator " + address, 2, "asks for a token");
  expect("--coordinator " + address + " --token-file " +
             Token("other", "ffffffffffffffffffffffffffffffff"),
         3, "does not know the token in");
  expect("--coordinator " + address + " --token-file " + Token(), 0, "");
}

TEST_F(ConnectionTest, ATokenFileThatIsWrongIsASentenceAndIsNotShown) {
  const std::string address = StartOnTcp();
  const std::string two_lines = Token("two", absl::StrCat(kToken, "\nsecond-line-0123456789\n"));
  EXPECT_EQ(Allo("sweeps --coordinator " + address + " --token-file " + two_lines).exit_code, 0);
  const std::string bad = Token("bad", "0123456789abcdef\x01\x02gh\n");
  for (const std::string& command :
       {absl::StrCat(ALLO_BIN_DIR, "/allo sweeps"),
        absl::StrCat(ALLO_BIN_DIR, "/allo-worker --slots cpu:1 --trainer /bin/true --state-dir ",
                     folder_.Path("w"), " --run-root ", folder_.Path("r"), " --data-dir ",
                     folder_.Path("d"))}) {
    const Outcome outcome =
        Together(absl::StrCat(command, " --coordinator ", address, " --token-file ", bad));
    EXPECT_GT(outcome.exit_code, 0);
    EXPECT_LT(outcome.exit_code, 3) << outcome.output;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr("bad:1:"), Not(HasSubstr("0123456789abcdef")),
                                      Not(HasSubstr("3031323334"))));
  }
}

// Whoever has the coordinator's port learns nothing from a worker that comes back.
TEST_F(ConnectionTest, AWorkerTellsAnImpostorNothing) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(name);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&name), size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&name), &size), 0);
  ChildProcess worker;
  worker.Start({ALLO_BIN_DIR "/allo-worker", "--coordinator",
                absl::StrCat("127.0.0.1:", ntohs(name.sin_port)), "--token-file", Token(),
                "--slots", "cpu:1", "--trainer", "/bin/true", "--state-dir", folder_.Path("w"),
                "--run-root", folder_.Path("r"), "--data-dir", folder_.Path("d")},
               folder_.Path("worker.log"));
  std::string heard;
  for (int i = 0; i < 2; ++i) {
    const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    ASSERT_GE(connection, 0);
    char buffer[4096];
    const ssize_t got = read(connection, buffer, sizeof(buffer));
    if (got > 0) heard.append(buffer, static_cast<size_t>(got));
    close(connection);
  }
  close(listener);
  ASSERT_FALSE(heard.empty());
  EXPECT_EQ(heard[0], 0x16) << "the first byte of a TLS handshake";
  EXPECT_THAT(heard, AllOf(Not(HasSubstr(kToken)), Not(HasSubstr("agent")), Not(HasSubstr("PRI"))));
}

// A coordinator that comes back with another token, or another certificate, has its workers back.
TEST_F(ConnectionTest, AWorkerReadsTokenAndCertificateAgain) {
  const std::string certificate = folder_.Path("cert.pem");
  const std::string key = folder_.Path("key.pem");
  const auto make_certificate = [&] {
    return Together(
               absl::StrCat("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
                            "-nodes -days 2 -subj /CN=x -addext subjectAltName=IP:127.0.0.1 "
                            "-keyout ",
                            key, " -out ", certificate))
        .exit_code;
  };
  for (const bool with_certificate : {false, true}) {
    Token();
    std::vector<std::string> flags = {"--token-file", folder_.Path("token")};
    std::vector<std::string> worker_flags = flags;
    if (with_certificate) {
      ASSERT_EQ(make_certificate(), 0) << "openssl is needed: apt-get install openssl";
      flags.insert(flags.end(), {"--tls-cert", certificate, "--tls-key", key});
      worker_flags.insert(worker_flags.end(), {"--tls-ca", certificate});
    }
    std::string listen = "127.0.0.1:0";
    const auto start = [&] {
      std::filesystem::remove(folder_.Path("address"));
      std::vector<std::string> all = flags;
      all.insert(all.end(), {"--listen", listen});
      listen = StartCoordinator(all);
    };
    start();
    ASSERT_THAT(listen, StartsWith("127.0.0.1:"));
    const std::string log = folder_.Path(absl::StrCat("worker-", with_certificate, ".log"));
    std::vector<std::string> command = {ALLO_BIN_DIR "/allo-worker",
                                        "--coordinator",
                                        listen,
                                        "--slots",
                                        "cpu:1",
                                        "--trainer",
                                        "/bin/true",
                                        "--state-dir",
                                        folder_.Path("w"),
                                        "--run-root",
                                        folder_.Path("r"),
                                        "--data-dir",
                                        folder_.Path("d")};
    command.insert(command.end(), worker_flags.begin(), worker_flags.end());
    ChildProcess worker;
    worker.Start(command, log);
    const auto eventually_says = [&](const std::string& words) {
      return Eventually(
          [&] { return ReadFile(log).value_or("").find(words) != std::string::npos; });
    };
    EXPECT_TRUE(eventually_says("registered;")) << ReadFile(log).value_or("");
    coordinator_.Signal(SIGKILL);
    coordinator_.Wait();
    Token("token", "ffffffffffffffffffffffffffffffff\n");
    if (with_certificate) {
      ASSERT_EQ(make_certificate(), 0);
    }
    start();
    EXPECT_TRUE(eventually_says("is back after")) << ReadFile(log).value_or("");
    worker.Signal(SIGTERM);
    EXPECT_EQ(worker.Wait(), 0);
    coordinator_.Signal(SIGTERM);
    EXPECT_EQ(coordinator_.Wait(), 0);
  }
}

// Four clients ask for a copy and do not read it: a fifth is told so, and waits ten seconds at
// most.
TEST_F(ConnectionTest, BackupsThatNobodyReadsGiveWay) {
  const std::string address =
      StartCoordinator({"--listen", "unix:" + folder_.Path("coordinator.sock")});
  grpc::ChannelArguments small_window;  // so that the copy does not fit into the connection
  small_window.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  small_window.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65536);
  ASSERT_OK_AND_ASSIGN(const auto channel, transport::Connect({.address = address}, small_window));
  const auto stub = v1::ClientService::NewStub(channel);
  struct Unread {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::BackupResponse>> reader;
  };
  std::vector<std::unique_ptr<Unread>> unread;
  const std::string backup =
      absl::StrCat("backup --force ", folder_.Path("copy.db"), " --coordinator ", address);
  Outcome outcome;
  do {
    unread.push_back(std::make_unique<Unread>());
    unread.back()->reader = stub->Backup(&unread.back()->context, {});
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    outcome = Allo(backup);
  } while (outcome.exit_code == 0 && unread.size() < 20);
  EXPECT_GE(unread.size(), 4u);
  EXPECT_THAT(outcome.output, HasSubstr("4 backups go on already"));
  EXPECT_TRUE(Eventually([&] { return (outcome = Allo(backup)).exit_code == 0; },
                         std::chrono::milliseconds(500)))
      << outcome.output;
  for (const auto& each : unread) {
    each->context.TryCancel();
    (void)each->reader->Finish();
  }
}

// Everything that the coordinator makes beside the socket.
TEST_F(ConnectionTest, DatabaseAndBackupsAreTheirUsersAlone) {
  const std::string old_copy = folder_.Path("sweeps.db.v1.backup");
  ASSERT_OK(WriteFileAtomically(old_copy, "made by an earlier version"));
  ASSERT_EQ(chmod(old_copy.c_str(), 0644), 0);
  const std::string address =
      StartCoordinator({"--listen", "unix:" + folder_.Path("coordinator.sock")});
  const std::string copy = folder_.Path("copy.db");
  const Outcome backup = Allo(absl::StrCat("backup ", copy, " --coordinator ", address));
  ASSERT_EQ(backup.exit_code, 0) << backup.output;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    struct stat status {};
    ASSERT_EQ(stat(entry.path().c_str(), &status), 0);
    if (entry.path().filename() == "log") continue;  // of this test
    EXPECT_EQ(status.st_mode & 077, 0u) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 6) << "database, its log and index, lock, socket, copies";
}

// Every folder is open to everyone, so nothing but the programs' own care protects the user.
TEST_F(ConnectionTest, AnotherLocalUserCanDoNothing) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  const std::string address =
      StartCoordinator({"--listen", "unix:" + folder_.Path("coordinator.sock")});
  ASSERT_THAT(address, StartsWith("unix:"));
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  const std::string program = folder_.Path("allo");
  std::filesystem::copy_file(ALLO_BIN_DIR "/allo", program);
  ASSERT_EQ(chmod(program.c_str(), 0755), 0);
  if (Together("command -v setpriv").exit_code != 0)
    GTEST_SKIP() << "setpriv (util-linux) is needed";
  const auto as_nobody = [&](const std::string& command) {
    return Together(absl::StrCat("cd / && setpriv --reuid=", kNobody, " --regid=", kNobody,
                                 " --clear-groups env HOME=/nonexistent ", command));
  };
  if (as_nobody(program + " --help").exit_code != 0) {
    GTEST_SKIP() << "another user cannot run a program in " << folder_.path();
  }
  const std::string sweep = folder_.Path("sweep.yaml");
  ASSERT_OK(WriteFileAtomically(sweep,
                                "name: s\ndataset: 'strata:universe=7'\n"
                                "model: {frames: 1, sizes: [50k]}\n"
                                "training: {batch_sequences: 4, learning_rate: 1e-3, "
                                "warmup_steps: 1}\n"
                                "budgets: {tokens: [10k]}\n"));
  ASSERT_EQ(chmod(sweep.c_str(), 0644), 0);
  for (const std::string& command :
       {std::string("sweeps"), std::string("runs s"), std::string("cancel s"),
        std::string("workers"), "submit " + sweep,
        std::string("backup /tmp/allometry-test-never-written.db"),
        std::string("watch s --patience 0"), std::string("drain host")}) {
    const Outcome outcome =
        as_nobody(absl::StrCat(program, " --coordinator ", address, " ", command));
    EXPECT_EQ(outcome.exit_code, 3) << command << ": " << outcome.output;
  }
  for (const char* file : {"sweeps.db", "sweeps.db-wal", "sweeps.db-shm"}) {
    EXPECT_NE(as_nobody("cat " + folder_.Path(file)).exit_code, 0) << file;
  }
  // Nor may it stand in the coordinator's place.
  coordinator_.Signal(SIGTERM);
  EXPECT_EQ(coordinator_.Wait(), 0);
  ASSERT_EQ(chmod(folder_.path().c_str(), 0777), 0);
  const Outcome own = Allo(absl::StrCat("sweeps --coordinator ", address));
  EXPECT_EQ(own.exit_code, 1) << own.output;
  EXPECT_THAT(own.output, HasSubstr("others may write in the folder"));
}

}  // namespace
}  // namespace allometry::testing
