#include "data/input_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/files.h"

namespace allometry::data {
namespace {

const char* KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "no regular file";
}

}  // namespace

absl::StatusOr<InputFile> InputFile::Open(const std::string& path) {
  // Judged before it is opened, so that a device is left alone, and again when it is open.
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(path, "open");
  int fd = -1;
  if (S_ISREG(info.st_mode)) {
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return ErrnoStatus(path, "open");
  }
  InputFile file(path, fd, info);
  if (fd >= 0 && fstat(fd, &file.info_) != 0) return ErrnoStatus(path, "stat");
  if (!S_ISREG(file.info_.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s is %s: allowed is a regular file, which is read more than once", path,
                        KindOf(file.info_.st_mode)));
  }
  if (file.bytes() == 0) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  return file;
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), info_(other.info_) {}

InputFile::~InputFile() {
  if (fd_ >= 0) close(fd_);
}

std::string InputFile::name() const { return std::filesystem::path(path_).filename().string(); }

absl::StatusOr<size_t> InputFile::ReadAt(int64_t offset, std::span<char> to) const {
  const auto wanted = static_cast<size_t>(
      std::clamp<int64_t>(bytes() - offset, 0, static_cast<int64_t>(to.size())));
  for (size_t done = 0; done < wanted;) {
    const ssize_t got =
        pread(fd_, to.data() + done, wanted - done, static_cast<off_t>(offset) + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(path_, "read");
    if (got == 0)
      return CheckUnchanged().ok() ? absl::AbortedError(path_ + ": ends too early")
                                   : CheckUnchanged();
    done += static_cast<size_t>(got);
  }
  return wanted;
}

absl::StatusOr<std::string> InputFile::Front(size_t most) const {
  std::string front(most, '\0');
  ALLO_ASSIGN_OR_RETURN(const size_t got, ReadAt(0, front));
  front.resize(got);
  return front;
}

absl::StatusOr<std::string> InputFile::HashHex() const {
  // By number: the path may by now be another file.
  absl::StatusOr<std::string> hash = HashFileHex(absl::StrFormat("/proc/self/fd/%d", fd_));
  if (!hash.ok()) return Annotate(hash.status(), path_);
  return hash;
}

absl::Status InputFile::CheckUnchanged() const {
  struct stat now;
  if (fstat(fd_, &now) != 0) return ErrnoStatus(path_, "stat");
  const auto time = [](const timespec& t) { return std::pair(t.tv_sec, t.tv_nsec); };
  if (now.st_size == info_.st_size && time(now.st_mtim) == time(info_.st_mtim)) {
    return absl::OkStatus();
  }
  return absl::AbortedError(absl::StrFormat(
      "%s changed while it was read (%d bytes before, %d now): wait until it is written", path_,
      info_.st_size, now.st_size));
}

}  // namespace allometry::data
