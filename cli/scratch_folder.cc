#include "cli/scratch_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace allometry::cli {
namespace {

namespace fs = std::filesystem;

// A locked folder of this user; -1: it is another one's, is locked, or is not there.
int Lock(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat opened {
  }, named{};
  // By the time it is locked, another program may have removed it.
  if (fstat(fd, &opened) == 0 && opened.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
      lstat(path.c_str(), &named) == 0 && named.st_ino == opened.st_ino &&
      named.st_dev == opened.st_dev) {
    return fd;
  }
  close(fd);
  return -1;
}

void RemoveLeft(const std::string& parent, absl::string_view prefix) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
    if (!absl::StartsWith(entry.path().filename().string(), prefix)) continue;
    const int fd = Lock(entry.path().string());
    if (fd < 0) continue;
    fs::remove_all(entry.path(), error);
    close(fd);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ScratchFolder>> ScratchFolder::Make(absl::string_view prefix) {
  std::error_code error;
  const std::string parent = fs::temp_directory_path(error).string();
  if (error)
    return absl::NotFoundError("there is no folder for temporary files: " + error.message());
  const std::string stem = absl::StrCat(prefix, "-");
  RemoveLeft(parent, stem);
  for (;;) {
    std::string path = absl::StrCat(parent, "/", stem, "XXXXXX");
    if (mkdtemp(path.data()) == nullptr) return ErrnoStatus(path, "make a folder");
    const int fd = Lock(path);
    // Taken for one that was left, by a program that started at the same moment.
    if (fd < 0 && access(path.c_str(), F_OK) != 0) continue;
    if (fd < 0) return absl::UnavailableError(absl::StrCat(path, ": cannot be locked"));
    return std::unique_ptr<ScratchFolder>(new ScratchFolder(std::move(path), fd));
  }
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  close(fd_);
}

}  // namespace allometry::cli
