#include "base/private_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/files.h"

namespace allometry {

void MakeFilesPrivate() { umask(077); }

absl::Status MakePrivateDirectories(const std::string& path) {
  std::filesystem::path made;
  for (const std::filesystem::path& part : std::filesystem::path(path)) {
    made /= part;
    if (mkdir(made.c_str(), 0700) == 0 || errno == EEXIST) continue;
    const int why = errno;
    // A parent that is there may be in a folder where nothing can be made.
    if (struct stat status{}; stat(made.c_str(), &status) == 0) continue;
    errno = why;
    return ErrnoStatus(made.string(), "make directory");
  }
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode)) {
    errno = ENOTDIR;
    return ErrnoStatus(path, "make directory");
  }
  return absl::OkStatus();
}

absl::Status TakeFromOthers(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || status.st_uid != geteuid()) return absl::OkStatus();
  const mode_t kept = status.st_mode & 07700;
  if (kept == (status.st_mode & 07777)) return absl::OkStatus();
  return chmod(path.c_str(), kept) == 0 ? absl::OkStatus() : ErrnoStatus(path, "chmod");
}

}  // namespace allometry
