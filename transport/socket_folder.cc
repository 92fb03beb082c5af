#include "transport/socket_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "base/private_files.h"

namespace allometry::transport {
namespace {

constexpr size_t kLongestName =
    80;  // beside "/proc/self/fd/N/" in the 107 bytes of a socket's path

bool IsTrusted(uid_t owner) { return owner == geteuid() || owner == 0; }

}  // namespace

absl::StatusOr<std::shared_ptr<SocketFolder>> SocketFolder::Open(const std::string& path) {
  const std::filesystem::path socket(path);
  const std::string folder = socket.parent_path().string();
  const std::string name = socket.filename().string();
  if (name.size() > kLongestName) {
    return absl::InvalidArgumentError(absl::StrCat("unix:", path, ": the file's name has ",
                                                   name.size(), " bytes; at most ", kLongestName,
                                                   " are allowed"));
  }
  const int fd = open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(folder, "open");
  std::shared_ptr<SocketFolder> opened(new SocketFolder(fd, path, name));
  struct stat status {};
  if (fstat(fd, &status) != 0) return ErrnoStatus(folder, "look at");
  if (!IsTrusted(status.st_uid)) {
    return absl::PermissionDeniedError(
        absl::StrCat("the folder ", folder, " belongs to another user (uid ", status.st_uid,
                     "), who could answer in the coordinator's place: name a socket in a folder "
                     "of your own"));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    // A folder such as /tmp is everybody's on purpose.
    const bool shared = (status.st_mode & S_ISVTX) != 0;
    return absl::PermissionDeniedError(
        absl::StrCat("others may write in the folder ", folder,
                     ", and could answer in the coordinator's place: ",
                     shared ? "" : absl::StrCat("'chmod go-w ", folder, "', or "),
                     "name a socket in a folder of your own"));
  }
  return opened;
}

absl::StatusOr<std::shared_ptr<SocketFolder>> SocketFolder::OpenOrMake(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0) {
    ALLO_RETURN_IF_ERROR(MakePrivateDirectories(folder));
  }
  return Open(path);
}

SocketFolder::~SocketFolder() { close(fd_); }

std::string SocketFolder::ShortPath() const {
  return absl::StrCat("/proc/self/fd/", fd_, "/", name_);
}

absl::Status SocketFolder::CheckSocket() const {
  struct stat status {};
  if (fstatat(fd_, name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    if (errno != EACCES) return ErrnoStatus(path_, "look at");
    return absl::PermissionDeniedError(
        absl::StrCat("unix:", path_,
                     " is in a folder that lets in another user alone, the coordinator's: a Unix "
                     "socket serves the programs of one user, others need TCP and its token"));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path_, " is there and is not a socket"));
  }
  if (!IsTrusted(status.st_uid)) {
    return absl::PermissionDeniedError(
        absl::StrCat("the socket ", path_, " belongs to another user (uid ", status.st_uid, ")"));
  }
  return absl::OkStatus();
}

}  // namespace allometry::transport
