#include "base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>

#include "base/check.h"
#include "base/files.h"

namespace allometry {

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::string& path) {
  // Distinct for two threads that write the same path at once.
  static std::atomic<int64_t> files = 0;
  std::string temporary = absl::StrCat(path, ".tmp.", getpid(), ".", ++files);
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(temporary, "create");
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
