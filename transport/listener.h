// Accepts a server's connections and hands those that are allowed over to gRPC.
//
// gRPC's own listener of this version stops accepting for ever when the process runs out of
// descriptors, and does not tell who connects. With this listener a connection on a Unix socket
// from another user is closed unread, one program (or host) gets at most half of the connections,
// and some descriptors are kept for files.
//
// Threading: Open, Start, Stop and the destructor from one thread; a thread of its own accepts.
#pragma once

#include <grpcpp/server_builder.h>
#include <netdb.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "base/status.h"
#include "transport/address.h"
#include "transport/socket_folder.h"

namespace allometry::transport {

class Listener {
 public:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

  // Binds and listens; nothing is accepted yet. Unavailable: the address is taken (names the
  // process where it can be seen), or is not this machine's; PermissionDenied: a port below 1024,
  // a folder that others may write in.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const Address& address);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // With the real port.
  const Address& address() const { return address_; }

  // `acceptor` belongs to a gRPC server that serves already.
  void Start(std::unique_ptr<Acceptor> acceptor);
  // Accepts nothing more; the socket is gone from the file system. Before the server's shutdown.
  void Stop();

 private:
  explicit Listener(Address address) : address_(std::move(address)) {}

  absl::Status OpenUnix();
  absl::Status OpenTcp();
  absl::Status ListenOn(const addrinfo& where);
  void AcceptUntilStopped();
  void AcceptOne();
  bool MayConnect(int connection);
  // A Unix socket whose file is gone (the folder of a login that ended) is made anew.
  void MakeAnewWhereGone();
  void SayOnce(const std::string& line);

  Address address_;
  std::shared_ptr<SocketFolder> folder_;  // of a Unix socket
  int lock_fd_ = -1;                      // locked: this process has the Unix socket
  int listen_fd_ = -1;
  int spare_fd_ = -1;  // given up for a moment where no descriptor is left
  int wake_fds_[2] = {-1, -1};
  uint64_t socket_inode_ = 0;
  std::unique_ptr<Acceptor> acceptor_;
  std::atomic<bool> stopping_ = false;
  std::set<std::string> said_;  // of SayOnce
  std::thread thread_;
};

// Raises this process's limit of open files as far as it may, up to 65,536; returns what it is.
int64_t RaiseFileLimit();

}  // namespace allometry::transport
