#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>

#include "base/check.h"
#include "base/files.h"

namespace allometry {

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::string& path) {
  // Distinct for two threads that write the same path at once.
  static std::atomic<int64_t> files = 0;
  std::string temporary;
  int fd = -1;
  // A name that is taken is what a killed process of this number left, or what somebody put there.
  for (int i = 0; i < 1000 && fd < 0; ++i) {
    temporary = absl::StrCat(path, ".tmp.", getpid(), ".", ++files);
    fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno != EEXIST) break;
  }
  if (fd < 0) return ErrnoStatus(temporary, "create");
  flock(fd, LOCK_EX | LOCK_NB);  // tells it from what was left; where that cannot be, it is young
  return std::unique_ptr<AtomicFile>(new AtomicFile(path, std::move(temporary), fd));
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!committed_) unlink(temporary_.c_str());
}

absl::Status AtomicFile::Append(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(temporary_, "write");
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  ALLO_CHECK(!committed_) << path_;
  if (fsync(fd_) != 0) return ErrnoStatus(temporary_, "sync");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return ErrnoStatus(path_, "rename");
  committed_ = true;
  return SyncFolderOf(path_);
}

void RemoveLeftTemporaries(const std::string& path) {
  constexpr time_t kYoungS = 60;
  namespace fs = std::filesystem;
  const fs::path parent = fs::path(path).parent_path();
  const std::string prefix = fs::path(path).filename().string() + ".tmp.";
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent.empty() ? "." : parent, error)) {
    if (entry.path().filename().string().rfind(prefix, 0) != 0) continue;
    const int fd = open(entry.path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat info {};
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
        time(nullptr) - info.st_mtime > kYoungS && flock(fd, LOCK_EX | LOCK_NB) == 0) {
      unlink(entry.path().c_str());
    }
    close(fd);
  }
}

absl::Status SyncFolderOf(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  const int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return ErrnoStatus(folder, "sync");
  const absl::Status synced =
      fsync(directory) == 0 ? absl::OkStatus() : ErrnoStatus(folder, "sync");
  close(directory);
  return synced;
}

}  // namespace allometry
