#include "transport/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iostream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/files.h"
#include "transport/port_owner.h"

namespace allometry::transport {
namespace {

constexpr int kBacklog = 512;
constexpr int64_t kMostFiles = 65'536;
constexpr int kFilesKept = 256;  // for the database, its readers, backups and logs
constexpr int kLookEveryMs = 1000;

int64_t FileLimit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0
             ? std::min<int64_t>(static_cast<int64_t>(limit.rlim_cur), kMostFiles)
             : 1024;
}

// Whose connection it is: the process at a Unix socket, the host at a TCP port.
std::string PeerOf(int connection) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getpeername(connection, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    return inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&address)->sin_addr, text,
                     sizeof(text));
  }
  if (address.ss_family == AF_INET6) {
    return inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr, text,
                     sizeof(text));
  }
  ucred peer{};
  size = sizeof(peer);
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return "";
  return absl::StrCat("process ", peer.pid);
}

absl::Status LockOf(const std::string& path, int folder_fd, const std::string& name, int* lock_fd) {
  const std::string lock = name + ".lock";
  *lock_fd = openat(folder_fd, lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (*lock_fd < 0) return ErrnoStatus(path + ".lock", "open");
  if (flock(*lock_fd, LOCK_EX | LOCK_NB) != 0) {
    char owner[32] = {};
    const ssize_t got = pread(*lock_fd, owner, sizeof(owner) - 1, 0);
    return absl::UnavailableError(
        absl::StrCat("unix:", path, " is taken by process ",
                     got > 0 ? absl::StripAsciiWhitespace(owner) : absl::string_view("unknown"),
                     ": stop that coordinator, or name another socket with --listen unix:PATH"));
  }
  const std::string own = absl::StrCat(getpid(), "\n");
  if (ftruncate(*lock_fd, 0) != 0 ||
      pwrite(*lock_fd, own.data(), own.size(), 0) != static_cast<ssize_t>(own.size())) {
    return ErrnoStatus(path + ".lock", "write");
  }
  return absl::OkStatus();
}

absl::Status BindError(const Address& address) {
  const std::string where = address.ToString();
  switch (errno) {
    case EADDRINUSE: {
      const std::string owner = OwnerOfPort(address.port);
      return absl::UnavailableError(absl::StrCat(
          where, " is taken by ",
          owner.empty() ? "another program (of another user: its process is not shown)" : owner,
          ": stop it, or name another port with --listen"));
    }
    case EADDRNOTAVAIL:
      return absl::UnavailableError(
          absl::StrCat(where, " is not an address of this machine: see 'ip address'"));
    case EACCES:
      return absl::PermissionDeniedError(
          absl::StrCat(where, ": only root may listen on a port below 1024"));
    default:
      return ErrnoStatus(where, "listen");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(const Address& address) {
  std::unique_ptr<Listener> listener(new Listener(address));
  ALLO_RETURN_IF_ERROR(address.is_unix() ? listener->OpenUnix() : listener->OpenTcp());
  listener->spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (pipe2(listener->wake_fds_, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "make");
  return listener;
}

Listener::~Listener() {
  Stop();
  for (const int fd : {listen_fd_, lock_fd_, spare_fd_, wake_fds_[0], wake_fds_[1]}) {
    if (fd >= 0) close(fd);
  }
}

absl::Status Listener::OpenUnix() {
  ALLO_ASSIGN_OR_RETURN(folder_, SocketFolder::OpenOrMake(address_.path));
  if (lock_fd_ >= 0) close(std::exchange(lock_fd_, -1));
  ALLO_RETURN_IF_ERROR(LockOf(address_.path, folder_->fd(), folder_->name(), &lock_fd_));
  ALLO_RETURN_IF_ERROR(folder_->CheckSocket());
  // Whoever had it is dead: the lock is ours.
  unlinkat(folder_->fd(), folder_->name().c_str(), 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string path = folder_->ShortPath();
  ALLO_CHECK(path.size() < sizeof(name.sun_path)) << path;
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ErrnoStatus(address_.path, "make a socket for");
  // Nobody can connect before listen().
  if (bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0 ||
      fchmodat(folder_->fd(), folder_->name().c_str(), 0600, 0) != 0 || listen(fd, kBacklog) != 0) {
    const absl::Status status = ErrnoStatus("unix:" + address_.path, "listen");
    close(fd);
    return status;
  }
  struct stat status {};
  if (fstatat(folder_->fd(), folder_->name().c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    socket_inode_ = status.st_ino;
  }
  if (listen_fd_ >= 0) close(listen_fd_);
  listen_fd_ = fd;
  return absl::OkStatus();
}

absl::Status Listener::OpenTcp() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(address_.host.c_str(), nullptr, &hints, &found); error != 0) {
    return absl::UnavailableError(absl::StrCat(address_.ToString(), ": no such host ('",
                                               address_.host, "': ", gai_strerror(error), ")"));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  // A name may stand for an IPv6 address on a machine that has none: then the next is taken.
  absl::Status status;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
    status = ListenOn(*each);
    if (status.ok()) break;
  }
  return status;
}

absl::Status Listener::ListenOn(const addrinfo& where) {
  sockaddr_storage name{};
  std::memcpy(&name, where.ai_addr, where.ai_addrlen);
  auto* port = name.ss_family == AF_INET ? &reinterpret_cast<sockaddr_in*>(&name)->sin_port
                                         : &reinterpret_cast<sockaddr_in6*>(&name)->sin6_port;
  *port = htons(static_cast<uint16_t>(address_.port));
  const int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ErrnoStatus(address_.ToString(), "make a socket for");
  const int on = 1;
  const int off = 0;
  // A port whose last connections are still closing is free; one that somebody listens on is not.
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // "[::]" takes IPv4 too.
  if (name.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  socklen_t got = sizeof(name);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&name), where.ai_addrlen) != 0 ||
      listen(fd, kBacklog) != 0 || getsockname(fd, reinterpret_cast<sockaddr*>(&name), &got) != 0) {
    const absl::Status status = BindError(address_);
    close(fd);
    return status;
  }
  listen_fd_ = fd;
  address_.port = ntohs(*port);
  return absl::OkStatus();
}

void Listener::Start(std::unique_ptr<Acceptor> acceptor) {
  acceptor_ = std::move(acceptor);
  thread_ = std::thread([this] { AcceptUntilStopped(); });
}

void Listener::Stop() {
  if (!stopping_.exchange(true)) {
    if (wake_fds_[1] >= 0) (void)!write(wake_fds_[1], "x", 1);
  }
  if (thread_.joinable()) thread_.join();
  acceptor_.reset();
  if (listen_fd_ >= 0) close(std::exchange(listen_fd_, -1));
  if (folder_ != nullptr && lock_fd_ >= 0 && socket_inode_ != 0) {
    unlinkat(folder_->fd(), folder_->name().c_str(), 0);
    socket_inode_ = 0;
  }
}

void Listener::AcceptUntilStopped() {
  while (!stopping_) {
    pollfd polled[2] = {{listen_fd_, POLLIN, 0}, {wake_fds_[0], POLLIN, 0}};
    const int ready = poll(polled, 2, kLookEveryMs);
    if (stopping_) return;
    if (ready > 0 && (polled[0].revents & POLLIN) != 0) AcceptOne();
    if (ready == 0 && address_.is_unix()) MakeAnewWhereGone();
  }
}

void Listener::AcceptOne() {
  int connection = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (connection < 0) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
    SayOnce(absl::StrCat("no connection can be taken (", std::strerror(errno),
                         "): the limit of open files is ", FileLimit(),
                         "; raise it with 'ulimit -n' or LimitNOFILE"));
    // The connection would stay in the queue and be asked about again at once.
    if (spare_fd_ >= 0) close(std::exchange(spare_fd_, -1));
    connection = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection >= 0) close(connection);
    spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return;
  }
  if (!MayConnect(connection)) {
    close(connection);
    return;
  }
  if (!address_.is_unix()) {
    const int on = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  Acceptor::NewConnectionParameters parameters;
  parameters.listener_fd = listen_fd_;
  parameters.fd = connection;
  acceptor_->HandleNewConnection(&parameters);
}

bool Listener::MayConnect(int connection) {
  if (address_.is_unix()) {
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    if (peer.uid != geteuid() && peer.uid != 0) {
      SayOnce(absl::StrCat("refused a connection of another user (uid ", peer.uid, ")"));
      return false;
    }
  }
  // A new descriptor is the lowest that is free: as many are open.
  const int64_t limit = FileLimit();
  const int64_t most = limit - std::min<int64_t>(kFilesKept, limit / 4);
  if (connection < most / 2) return true;
  const std::string peer = PeerOf(connection);
  int64_t own = 0;
  for (int fd = 0; fd < connection; ++fd) own += PeerOf(fd) == peer;
  if (connection < most && own < most / 2) return true;
  SayOnce(absl::StrCat("refused a connection of ", peer, ": it has ", own, " of ", most,
                       " connections"));
  return false;
}

void Listener::MakeAnewWhereGone() {
  struct stat status {};
  if (lstat(address_.path.c_str(), &status) == 0 && status.st_ino == socket_inode_) return;
  if (const absl::Status made = OpenUnix(); !made.ok()) {
    SayOnce(absl::StrCat("the socket ", address_.path,
                         " is gone, and was not made anew: ", made.message()));
  } else {
    SayOnce(absl::StrCat("the socket ", address_.path, " was gone, and was made anew"));
  }
}

void Listener::SayOnce(const std::string& line) {
  if (said_.size() < 1000 && said_.insert(line).second) {
    std::cerr << absl::StrCat("allo-coordinator: ", line, "\n") << std::flush;
  }
}

int64_t RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return FileLimit();
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, kMostFiles);
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  return FileLimit();
}

}  // namespace allometry::transport
