#include "base/output_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>

#include "base/atomic_file.h"
#include "base/files.h"

namespace allometry {

namespace fs = std::filesystem;

absl::StatusOr<std::unique_ptr<OutputFolder>> OutputFolder::Create(const std::string& path) {
  static std::atomic<int64_t> folders = 0;
  std::error_code ignored;
  std::string target = fs::weakly_canonical(path, ignored).string();
  if (target.empty()) target = path;
  while (target.size() > 1 && target.back() == '/') target.pop_back();
  std::string temporary = absl::StrCat(target, ".tmp.", getpid(), ".", ++folders);
  ALLO_RETURN_IF_ERROR(MakeDirectories(temporary));
  return std::unique_ptr<OutputFolder>(new OutputFolder(std::move(target), std::move(temporary)));
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);  // after an exchange: the folder that was replaced
}

absl::Status OutputFolder::Commit(bool replace) {
  // EEXIST where something is there; a file system that knows no flags says EINVAL.
  if (renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) {
    return SyncFolderOf(path_);
  }
  const bool no_flags = errno == EINVAL || errno == ENOSYS;
  if (errno != EEXIST && !no_flags) return ErrnoStatus(path_, "rename");
  std::error_code ignored;
  const bool there = fs::exists(fs::symlink_status(path_, ignored));
  if (there && !replace) return absl::AlreadyExistsError(absl::StrCat(path_, " is there already"));
  if (!there) {
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return ErrnoStatus(path_, "rename");
    return SyncFolderOf(path_);
  }
  if (!no_flags &&
      renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) == 0) {
    return SyncFolderOf(path_);
  }
  const std::string old = absl::StrCat(temporary_, ".old");
  if (rename(path_.c_str(), old.c_str()) != 0) return ErrnoStatus(path_, "rename");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    const absl::Status status = ErrnoStatus(path_, "rename");
    if (rename(old.c_str(), path_.c_str()) == 0) return status;
    return Annotate(status, absl::StrCat("what was there is now at ", old));
  }
  fs::remove_all(old, ignored);
  return SyncFolderOf(path_);
}

}  // namespace allometry
