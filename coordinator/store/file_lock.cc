#include "coordinator/store/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace allometry::store {

absl::StatusOr<std::unique_ptr<FileLock>> FileLock::Acquire(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(path, "open");
  std::unique_ptr<FileLock> lock(new FileLock(fd));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(path, "lock");
    char owner[32] = {};
    const ssize_t got = pread(fd, owner, sizeof(owner) - 1, 0);
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": another coordinator uses this database (process ",
                     got > 0 ? absl::StripAsciiWhitespace(owner) : absl::string_view("unknown"),
                     "); stop it, or choose another file"));
  }
  const std::string owner = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, owner.data(), owner.size(), 0) != static_cast<ssize_t>(owner.size())) {
    return ErrnoStatus(path, "write");
  }
  return lock;
}

FileLock::~FileLock() { close(fd_); }

}  // namespace allometry::store
