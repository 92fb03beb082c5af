// The folder of a Unix socket, held open so that the folder in use is the one that was checked.
//
// A Unix socket proves who is at its other end by the folder it lies in: the folder belongs to this
// user (or to root) and nobody else may write in it, so nobody else can put a socket there, now or
// after the coordinator ended. Paths go through /proc/self/fd, so a folder that is renamed or
// replaced afterwards is not followed, and the limit of 107 bytes on a socket's path does not hold.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"

namespace allometry::transport {

class SocketFolder {
 public:
  // Of the socket at the absolute `path`. NotFound: there is no such folder; PermissionDenied: it
  // is another user's, or others may write in it.
  static absl::StatusOr<std::shared_ptr<SocketFolder>> Open(const std::string& path);
  // Makes the folder (mode 0700, with its parents) where it is missing.
  static absl::StatusOr<std::shared_ptr<SocketFolder>> OpenOrMake(const std::string& path);
  ~SocketFolder();
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;

  int fd() const { return fd_; }
  // The socket's name in the folder.
  const std::string& name() const { return name_; }
  // A path to the socket that holds as long as this object lives, in this process.
  std::string ShortPath() const;

  // OK: the name is a socket of this user or of root, or there is nothing. PermissionDenied:
  // another user's; FailedPrecondition: not a socket.
  absl::Status CheckSocket() const;

 private:
  SocketFolder(int fd, std::string path, std::string name)
      : fd_(fd), path_(std::move(path)), name_(std::move(name)) {}

  const int fd_;
  const std::string path_;  // of the socket, for messages
  const std::string name_;
};

}  // namespace allometry::transport
