#include "data/staged_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "base/atomic_file.h"
#include "base/files.h"
#include "data/manifest.h"

namespace allometry::data {
namespace {

namespace fs = std::filesystem;

// Where links lead, so that DATA_DIR/NAME may be one.
fs::path Resolved(const std::string& folder) {
  std::error_code error;
  const fs::path resolved = fs::weakly_canonical(folder, error);
  return error ? fs::path(folder) : resolved;
}

// DATA_DIR/.NAME.ENDING
std::string Beside(const fs::path& folder, const char* ending) {
  return (folder.parent_path() / absl::StrCat(".", folder.filename().string(), ending)).string();
}

absl::Status ErrorOf(const fs::path& path, const char* what, const std::error_code& error) {
  errno = error.value();
  return ErrnoStatus(path.string(), what);
}

// Files that a make writes, also half of them.
bool IsOurs(const std::string& name) {
  const bool shard = absl::StartsWith(name, "train-") || absl::StartsWith(name, "heldout-");
  return (shard && absl::StrContains(name, ".npy")) || absl::StartsWith(name, kTrajectoriesFile) ||
         absl::StartsWith(name, kManifestFile) || absl::StartsWith(name, kTokenizerFile);
}

absl::Status RenamePath(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return ErrnoStatus(from, absl::StrCat("rename to ", to));
}

// Deletes a folder with our files in it; a user's files go to `keep`.
absl::Status Discard(const std::string& folder, const std::string& keep) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(folder, error))) return absl::OkStatus();
  std::vector<fs::path> entries;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  if (error) return ErrorOf(folder, "read the folder", error);
  for (const fs::path& entry : entries) {
    if (IsOurs(entry.filename().string())) {
      if (!fs::remove(entry, error) && error) return ErrorOf(entry, "remove", error);
      continue;
    }
    const fs::path to = fs::path(keep) / entry.filename();
    if (!fs::exists(fs::symlink_status(to, error)) && fs::is_directory(keep, error)) {
      ALLO_RETURN_IF_ERROR(RenamePath(entry.string(), to.string()));
      continue;
    }
    return absl::FailedPreconditionError(
        absl::StrFormat("%s holds '%s', which is no file of a dataset and cannot be kept in %s: "
                        "move it away",
                        folder, entry.filename().string(), keep));
  }
  if (!fs::remove(folder, error) && error) return ErrorOf(folder, "remove", error);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FolderLock> FolderLock::Acquire(const std::string& folder) {
  const fs::path resolved = Resolved(folder);
  ALLO_RETURN_IF_ERROR(MakeDirectories(resolved.parent_path().string()));
  const std::string path = Beside(resolved, ".lock");
  for (;;) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) return ErrnoStatus(path, "open");
    FolderLock lock(fd);
    while (flock(fd, LOCK_EX) != 0) {
      if (errno != EINTR) return ErrnoStatus(path, "lock");
    }
    // Who held it before has removed the file: then this lock is on a file without a name.
    struct stat held, named;
    if (fstat(fd, &held) != 0 || stat(path.c_str(), &named) != 0 || held.st_ino != named.st_ino ||
        held.st_dev != named.st_dev) {
      continue;
    }
    lock.path_ = path;
    const std::string old = Beside(resolved, ".old");
    std::error_code error;
    if (!fs::exists(resolved, error) && fs::exists(old, error)) {
      ALLO_RETURN_IF_ERROR(RenamePath(old, resolved.string()));
    }
    return lock;
  }
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

FolderLock::~FolderLock() {
  if (fd_ < 0) return;
  if (!path_.empty()) unlink(path_.c_str());
  close(fd_);
}

absl::StatusOr<std::unique_ptr<StagedFolder>> StagedFolder::Create(const std::string& folder) {
  const fs::path resolved = Resolved(folder);
  std::error_code error;
  if (fs::exists(resolved, error) && !fs::is_directory(resolved, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": a file has this name: a dataset is a folder"));
  }
  ALLO_RETURN_IF_ERROR(Discard(Beside(resolved, ".old"), resolved.string()));
  const std::string staging = Beside(resolved, ".new");
  ALLO_RETURN_IF_ERROR(Discard(staging, resolved.string()));
  ALLO_RETURN_IF_ERROR(MakeDirectories(staging));
  return std::unique_ptr<StagedFolder>(new StagedFolder(resolved.string(), staging));
}

StagedFolder::~StagedFolder() { (void)Discard(staging_, folder_); }

absl::Status StagedFolder::Commit() {
  ALLO_RETURN_IF_ERROR(SyncFolderOf(absl::StrCat(staging_, "/", kManifestFile)));
  std::error_code error;
  if (!fs::exists(folder_, error)) {
    ALLO_RETURN_IF_ERROR(RenamePath(staging_, folder_));
    return SyncFolderOf(folder_);
  }
  if (renameat2(AT_FDCWD, staging_.c_str(), AT_FDCWD, folder_.c_str(), RENAME_EXCHANGE) == 0) {
    ALLO_RETURN_IF_ERROR(SyncFolderOf(folder_));
    return Discard(staging_, folder_);
  }
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
    return ErrnoStatus(folder_, "replace");
  }
  const std::string old = Beside(folder_, ".old");
  ALLO_RETURN_IF_ERROR(RenamePath(folder_, old));
  const absl::Status renamed = RenamePath(staging_, folder_);
  if (!renamed.ok()) {
    ALLO_RETURN_IF_ERROR(RenamePath(old, folder_));
    return renamed;
  }
  ALLO_RETURN_IF_ERROR(SyncFolderOf(folder_));
  return Discard(old, folder_);
}

absl::Status CheckInputsOutside(const std::string& folder, const std::vector<std::string>& inputs) {
  const fs::path resolved = Resolved(folder);
  for (const std::string& input : inputs) {
    const fs::path path = Resolved(input);
    if (std::mismatch(resolved.begin(), resolved.end(), path.begin(), path.end()).first !=
        resolved.end()) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrFormat("%s lies in %s, the folder that is to be made: move the input elsewhere, "
                        "or choose another --name",
                        input, folder));
  }
  return absl::OkStatus();
}

}  // namespace allometry::data
