// A server that does not exist: what is accepted is counted, and nothing is said.
#include "transport/listener.h"

#include <grp.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/eventually.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::transport {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uid_t kNobody = 65534;

// Keeps the connections open, as a server does.
class Keeper final : public Listener::Acceptor {
 public:
  explicit Keeper(std::vector<int>& kept) : kept_(kept) {}
  void HandleNewConnection(NewConnectionParameters* parameters) override {
    kept_.push_back(parameters->fd);
    ++count;
  }
  static inline std::atomic<int> count = 0;

 private:
  std::vector<int>& kept_;
};

class ListenerTest : public ::testing::Test {
 protected:
  ListenerTest() { Keeper::count = 0; }
  ~ListenerTest() override {
    for (const int fd : kept_) close(fd);
  }

  Address Unix(const std::string& name) const {
    Address address;
    address.path = folder_.Path(name);
    return address;
  }
  static Address Tcp(int port = 0) {
    Address address;
    address.host = "127.0.0.1";
    address.port = port;
    return address;
  }
  void Serve(Listener& listener) { listener.Start(std::make_unique<Keeper>(kept_)); }

  // A connection; -1 and errno where it is refused.
  static int Connect(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof(name.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  // Whether the other end closed it without a word.
  static bool IsClosed(int fd) {
    timeval patience{20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    char byte = 0;
    return read(fd, &byte, 1) == 0;
  }
  // What `body` returns in a child of this process; 255: it died.
  static int InAChild(const std::function<int()>& body) {
    const pid_t child = fork();
    if (child == 0) _exit(body());
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
  }

  const testing::TemporaryFolder folder_;
  std::vector<int> kept_;
};

TEST_F(ListenerTest, AUnixSocketIsItsUsersAloneAndGoneAtTheEnd) {
  const Address address = Unix("new/deep/c.sock");
  {
    ASSERT_OK_AND_ASSIGN(const auto listener, Listener::Open(address));
    Serve(*listener);
    struct stat status {};
    ASSERT_EQ(stat(address.path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u);
    ASSERT_EQ(stat(folder_.Path("new/deep").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0700u);
    const int fd = Connect(address.path);
    ASSERT_GE(fd, 0);
    EXPECT_TRUE(testing::Eventually([] { return Keeper::count == 1; }));
    close(fd);
  }
  EXPECT_FALSE(std::filesystem::exists(address.path));
}

TEST_F(ListenerTest, APathOfAnyLengthWorks) {
  const Address address = Unix(std::string(100, 'a') + "/" + std::string(100, 'b') + "/c.sock");
  ASSERT_OK_AND_ASSIGN(const auto listener, Listener::Open(address));
  Serve(*listener);
  ASSERT_OK_AND_ASSIGN(const auto folder, SocketFolder::Open(address.path));
  EXPECT_OK(folder->CheckSocket());
  const int fd = Connect(folder->ShortPath());
  EXPECT_GE(fd, 0) << std::strerror(errno);
  close(fd);
}

TEST_F(ListenerTest, ATakenSocketIsNamedWithItsProcessAndADeadOnesIsTakenOver) {
  const Address address = Unix("c.sock");
  ASSERT_EQ(InAChild([&] {
              const auto listener = Listener::Open(address);
              if (!listener.ok()) return 1;
              kill(getpid(), SIGKILL);
              return 2;
            }),
            255);
  ASSERT_TRUE(std::filesystem::exists(address.path)) << "left by the one that was killed";
  ASSERT_OK_AND_ASSIGN(const auto listener, Listener::Open(address));
  EXPECT_THAT(Listener::Open(address),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr(absl::StrCat("c.sock is taken by process ", getpid()))));
}

TEST_F(ListenerTest, WhatIsNotASocketStays) {
  const Address address = Unix("c.sock");
  ASSERT_OK(WriteFileAtomically(address.path, "precious"));
  EXPECT_THAT(Listener::Open(address),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not a socket")));
  EXPECT_EQ(*ReadFile(address.path), "precious");
}

TEST_F(ListenerTest, AFolderThatOthersMayWriteInIsRefused) {
  const Address address = Unix("open/c.sock");
  ASSERT_EQ(mkdir(folder_.Path("open").c_str(), 0700), 0);
  for (const mode_t mode : {0777, 01777, 0720, 0702}) {
    ASSERT_EQ(chmod(folder_.Path("open").c_str(), mode), 0);
    EXPECT_THAT(Listener::Open(address),
                StatusIs(absl::StatusCode::kPermissionDenied,
                         // A folder with the sticky bit is everybody's on purpose, as /tmp is.
                         HasSubstr(mode == 01777 ? "place: name a socket" : "chmod go-w")))
        << std::oct << mode;
    EXPECT_THAT(SocketFolder::Open(address.path), StatusIs(absl::StatusCode::kPermissionDenied));
  }
  ASSERT_EQ(chmod(folder_.Path("open").c_str(), 0755), 0);
  EXPECT_OK(Listener::Open(address));
}

TEST_F(ListenerTest, ASocketWhoseFileIsGoneIsMadeAnew) {
  const Address address = Unix("login/c.sock");
  ASSERT_OK_AND_ASSIGN(const auto listener, Listener::Open(address));
  Serve(*listener);
  std::filesystem::remove_all(folder_.Path("login"));
  int fd = -1;
  EXPECT_TRUE(testing::Eventually([&] { return (fd = Connect(address.path)) >= 0; }));
  EXPECT_TRUE(testing::Eventually([] { return Keeper::count == 1; }));
  close(fd);
}

TEST_F(ListenerTest, ATakenPortIsNamedWithItsProcess) {
  ASSERT_OK_AND_ASSIGN(const auto first, Listener::Open(Tcp()));
  const int port = first->address().port;
  EXPECT_GT(port, 0);
  EXPECT_THAT(Listener::Open(Tcp(port)),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr(absl::StrCat("127.0.0.1:", port, " is taken by process ", getpid(),
                                              " (transport_test)"))));
}

TEST_F(ListenerTest, AnAddressThatIsNotThisMachinesIsASentence) {
  Address address = Tcp();
  address.host = "203.0.113.9";
  EXPECT_THAT(Listener::Open(address), StatusIs(absl::StatusCode::kUnavailable,
                                                HasSubstr("not an address of this machine")));
  address.host = "no-such-host.invalid";
  EXPECT_THAT(Listener::Open(address),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no such host")));
}

TEST_F(ListenerTest, ALowPortIsRootsOnly) {
  if (geteuid() == 0) {
    EXPECT_EQ(InAChild([] {
                if (setgid(kNobody) != 0 || setuid(kNobody) != 0) return 1;
                const auto opened = Listener::Open(Tcp(1));
                // A container may allow it.
                return opened.ok() || absl::IsPermissionDenied(opened.status()) ? 0 : 2;
              }),
              0);
  }
}

// Another user of this machine, where the folder and even the socket were left open to everyone.
TEST_F(ListenerTest, AnotherUsersConnectionIsClosedUnread) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  const Address address = Unix("c.sock");
  ASSERT_OK_AND_ASSIGN(const auto listener, Listener::Open(address));
  Serve(*listener);
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  const auto as_nobody = [&](const std::function<int()>& body) {
    return InAChild([&] {
      if (setgroups(0, nullptr) != 0 || setgid(kNobody) != 0 || setuid(kNobody) != 0) return 100;
      return body();
    });
  };
  EXPECT_EQ(as_nobody([&] { return Connect(address.path) < 0 && errno == EACCES ? 0 : 1; }), 0);
  ASSERT_EQ(chmod(address.path.c_str(), 0666), 0);
  EXPECT_EQ(as_nobody([&] {
              const int fd = Connect(address.path);
              return fd >= 0 && IsClosed(fd) ? 0 : 1;
            }),
            0);
  EXPECT_EQ(Keeper::count, 0) << "nothing of it came to the server";
  const int own = Connect(address.path);
  EXPECT_TRUE(testing::Eventually([] { return Keeper::count == 1; }));
  close(own);
}

TEST_F(ListenerTest, AFolderOrSocketOfAnotherUserIsNotTrusted) {
  if (geteuid() != 0) GTEST_SKIP() << "giving a folder to another user needs root";
  const Address address = Unix("theirs/c.sock");
  ASSERT_EQ(mkdir(folder_.Path("theirs").c_str(), 0700), 0);
  ASSERT_EQ(chown(folder_.Path("theirs").c_str(), kNobody, kNobody), 0);
  EXPECT_THAT(SocketFolder::Open(address.path),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("another user")));
  EXPECT_THAT(Listener::Open(address), StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_OK_AND_ASSIGN(const auto listener, Listener::Open(Unix("c.sock")));
  ASSERT_EQ(chown(folder_.Path("c.sock").c_str(), kNobody, kNobody), 0);
  ASSERT_OK_AND_ASSIGN(const auto folder, SocketFolder::Open(folder_.Path("c.sock")));
  EXPECT_THAT(folder->CheckSocket(), StatusIs(absl::StatusCode::kPermissionDenied));
}

// In a child, whose limit is small.
TEST_F(ListenerTest, OneProgramTakesAtMostHalfAndTheListenerLivesOn) {
  const Address address = Unix("c.sock");
  EXPECT_EQ(InAChild([&] {
              constexpr int kLimit = 200;
              const rlimit limit{kLimit, kLimit};
              if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
              const auto listener = Listener::Open(address);
              if (!listener.ok()) return 2;
              Serve(**listener);
              // Another program's flood: its descriptors are its own.
              int ready[2];
              int go_on[2];
              if (pipe(ready) != 0 || pipe(go_on) != 0) return 3;
              const pid_t flood = fork();
              if (flood == 0) {
                int open_ones = 0;
                for (int i = 0; i < kLimit - 40; ++i) open_ones += Connect(address.path) >= 0;
                (void)!write(ready[1], "x", 1);
                char byte = 0;
                (void)!read(go_on[0], &byte, 1);
                _exit(0);
              }
              char byte = 0;
              if (read(ready[0], &byte, 1) != 1) return 4;
              testing::Eventually([] { return Keeper::count > 50; });
              std::this_thread::sleep_for(std::chrono::milliseconds(300));
              const int taken = Keeper::count;
              if (taken >= kLimit / 2) return 5;
              // Somebody else is let in beside the flood.
              const int before = Keeper::count;
              const pid_t other = fork();
              if (other == 0) {
                const int fd = Connect(address.path);
                std::this_thread::sleep_for(std::chrono::seconds(1));
                char none = 0;
                _exit(fd >= 0 && recv(fd, &none, 1, MSG_DONTWAIT) < 0 ? 0 : 1);
              }
              int status = 0;
              if (waitpid(other, &status, 0) != other || status != 0) return 6;
              if (Keeper::count != before + 1) return 7;
              (void)!write(go_on[1], "x", 1);
              waitpid(flood, &status, 0);
              return 0;
            }),
            0);
}

// The fault of gRPC's own listener: out of descriptors once, deaf for ever.
TEST_F(ListenerTest, OutOfDescriptorsItAcceptsAgainWhenThereAreSome) {
  const Address address = Unix("c.sock");
  EXPECT_EQ(InAChild([&] {
              const rlimit limit{64, 64};
              if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
              const auto listener = Listener::Open(address);
              if (!listener.ok()) return 2;
              Serve(**listener);
              const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
              std::vector<int> used;
              for (int fd = dup(0); fd >= 0; fd = dup(0)) used.push_back(fd);
              sockaddr_un name{};
              name.sun_family = AF_UNIX;
              std::strncpy(name.sun_path, address.path.c_str(), sizeof(name.sun_path) - 1);
              if (connect(client, reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0) return 3;
              std::this_thread::sleep_for(std::chrono::milliseconds(300));
              for (const int fd : used) close(fd);
              close(client);
              const int next = Connect(address.path);
              if (next < 0) return 4;
              return testing::Eventually([] { return Keeper::count >= 1; }) ? 0 : 5;
            }),
            0);
}

}  // namespace
}  // namespace allometry::transport
