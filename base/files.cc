#include "base/files.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "base/atomic_file.h"
#include "base/check.h"
#include "xxhash.h"

namespace allometry {
namespace {

// Closes on every path out of a function.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// A pipe or a device where a file should be would be waited for, or read, without end. Under /dev
// and /proc a person named it: /dev/stdin, <(command).
bool MayBeAStream(const std::string& path) {
  return absl::StartsWith(path, "/dev/") || absl::StartsWith(path, "/proc/");
}

// Calls use(piece) for successive pieces of the file, until it is not OK.
template <class Use>
absl::Status ReadInPieces(const std::string& path, bool may_be_a_stream, Use use) {
  if (path.empty()) return absl::InvalidArgumentError("a file name is needed, and '' is none");
  const int block = may_be_a_stream ? 0 : O_NONBLOCK;
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | block));
  if (file.get() < 0) return ErrnoStatus(path, "open");
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(path, "stat");
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a file is expected, and this is a folder"));
  }
  if (!S_ISREG(info.st_mode) && !may_be_a_stream) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a file is expected, and this is a pipe, a socket or a device"));
  }
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(path, "read");
    }
    if (got == 0) return absl::OkStatus();
    ALLO_RETURN_IF_ERROR(use(absl::string_view(buffer.data(), static_cast<size_t>(got))));
  }
}

}  // namespace

absl::Status ErrnoStatus(absl::string_view path, absl::string_view what) {
  const int error = errno;
  const std::string message = absl::StrCat(path, ": ", what, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  std::string contents;
  ALLO_RETURN_IF_ERROR(ReadInPieces(path, MayBeAStream(path), [&](absl::string_view piece) {
    contents.append(piece.data(), piece.size());
    if (contents.size() <= max_bytes) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": longer than the ", max_bytes, " bytes that are allowed here"));
  }));
  return contents;
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents) {
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  ALLO_RETURN_IF_ERROR(file->Append(contents));
  return file->Commit();
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  errno = error.value();
  return ErrnoStatus(path, "make directory");
}

std::string HashHex(absl::string_view bytes) {
  return absl::StrFormat("%016x", XXH3_64bits(bytes.data(), bytes.size()));
}

absl::StatusOr<std::string> HashFileHex(const std::string& path) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  ALLO_RETURN_IF_ERROR(ReadInPieces(path, /*may_be_a_stream=*/false, [&](absl::string_view piece) {
    XXH3_64bits_update(state.get(), piece.data(), piece.size());
    return absl::OkStatus();
  }));
  return absl::StrFormat("%016x", XXH3_64bits_digest(state.get()));
}

std::string RandomHex128() {
  uint64_t bits[2];
  ALLO_CHECK(getrandom(bits, sizeof(bits), 0) == sizeof(bits));
  return absl::StrFormat("%016x%016x", bits[0], bits[1]);
}

}  // namespace allometry
