#include "base/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/files.h"
#include "base/foreign_text.h"

namespace allometry {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kDatabaseHeader("SQLite format 3\0", 16);
constexpr size_t kBeginning = 64;  // bytes of a file that say what it is
constexpr size_t kShown = 30;

// The path behind symbolic links, also where the file is not there yet.
std::string Resolve(const std::string& path) {
  std::error_code error;
  const fs::path resolved = fs::weakly_canonical(path, error);
  if (error || resolved.empty()) return path;
  // The target of a dangling link is what shall be made.
  if (fs::is_symlink(fs::symlink_status(resolved, error))) {
    const fs::path target = fs::read_symlink(resolved, error);
    return (target.is_absolute() ? target : resolved.parent_path() / target).string();
  }
  return resolved.string();
}

bool LockedByAnother(int fd) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK) return true;
  if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
    flock(fd, LOCK_UN);
    return false;
  }
  return errno == EWOULDBLOCK;
}

// Of a file that cannot be read, nothing is known: the write itself will say.
absl::Status CheckContents(const std::string& path, const OutputOptions& options) {
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return absl::OkStatus();
  char bytes[kBeginning] = {};
  const ssize_t got = pread(fd, bytes, sizeof(bytes), 0);
  const absl::string_view beginning(bytes, static_cast<size_t>(std::max<ssize_t>(got, 0)));
  const bool database = absl::StartsWith(beginning, kDatabaseHeader);
  const bool locked = LockedByAnother(fd);
  close(fd);
  if (locked) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is in use by another program",
                     database ? " (a coordinator that serves this database?)" : "",
                     ": it was not written; name another file, or stop that program first"));
  }
  if (database && !options.may_replace_database) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is a database: it was not written; name another file"));
  }
  const bool known =
      beginning.empty() || options.beginnings.empty() ||
      std::any_of(options.beginnings.begin(), options.beginnings.end(),
                  [&](const std::string& ours) { return absl::StartsWith(beginning, ours); });
  if (!known) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is there and is not ", options.kind, " (it begins with '",
        Printable(beginning.substr(0, beginning.find_first_of("\r\n")).substr(0, kShown)),
        "'): it was not written; name another file, or remove this one first"));
  }
  return absl::OkStatus();
}

// Also where neither is there yet.
bool IsInput(const std::string& path, const std::string& input) {
  struct stat info {};
  if (stat(input.c_str(), &info) != 0) return Resolve(path) == Resolve(input);
  return S_ISREG(info.st_mode) && SameFile(path, input);
}

}  // namespace

bool SameFile(const std::string& a, const std::string& b) {
  struct stat one {
  }, other{};
  return stat(a.c_str(), &one) == 0 && stat(b.c_str(), &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

absl::Status CheckOutput(const std::string& path, const OutputOptions& options) {
  if (path.empty()) return absl::InvalidArgumentError("the output needs a file name");
  for (const std::string& input : options.inputs) {
    if (!input.empty() && IsInput(path, input == "-" ? "/dev/stdin" : input)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is the input ", input,
                       ": an output may not replace what the command reads; name another file"));
    }
  }
  // The log of a database belongs to it, also where it is not there now; so does a coordinator's
  // lock.
  for (const char* suffix : {"-wal", "-shm", "-journal", ".lock"}) {
    const std::string base(absl::StripSuffix(path, suffix));
    if (base == path || !fs::is_regular_file(base)) continue;
    ALLO_RETURN_IF_ERROR(
        CheckContents(base, {.may_replace_database = options.may_replace_database}));
  }
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    const bool missing = errno == ENOENT;
    const fs::path folder = fs::path(Resolve(path)).parent_path();
    std::error_code ignored;
    if (!missing || folder.empty() || fs::exists(folder, ignored)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the folder ", folder.string(), " does not exist; make it first"));
  }
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a folder; name a file in it"));
  }
  if (!S_ISREG(info.st_mode)) return absl::OkStatus();
  ALLO_RETURN_IF_ERROR(CheckContents(path, options));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Create(const std::string& path,
                                                               const OutputOptions& options) {
  ALLO_RETURN_IF_ERROR(CheckOutput(path, options));
  struct stat info {};
  const bool there = stat(path.c_str(), &info) == 0;
  if (there && !S_ISREG(info.st_mode)) {
    std::unique_ptr<OutputFile> output(new OutputFile(path, options));
    output->direct_fd_ = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (output->direct_fd_ < 0) return ErrnoStatus(path, "open");
    return output;
  }
  // A rename asks the folder alone: a file that its owner made read-only would be replaced too.
  if (there && access(path.c_str(), W_OK) != 0) return ErrnoStatus(path, "write");
  std::unique_ptr<OutputFile> output(new OutputFile(Resolve(path), options));
  RemoveLeftTemporaries(output->path_);
  ALLO_ASSIGN_OR_RETURN(output->file_, AtomicFile::Create(output->path_));
  const mode_t mask = umask(0);
  umask(mask);
  mode_t mode = there ? info.st_mode & 07777 : 0666 & ~mask;
  if (options.only_owner) mode = 0600;
  const std::string& temporary = output->file_->temporary_path();
  if (chmod(temporary.c_str(), mode) != 0) return ErrnoStatus(temporary, "set permissions");
  return output;
}

OutputFile::~OutputFile() {
  if (direct_fd_ >= 0) close(direct_fd_);
}

const std::string& OutputFile::temporary_path() const {
  static const std::string* const kNone = new std::string();
  return file_ == nullptr ? *kNone : file_->temporary_path();
}

absl::Status OutputFile::Append(absl::string_view bytes) {
  if (file_ != nullptr) return file_->Append(bytes);
  while (!bytes.empty()) {
    const ssize_t written = write(direct_fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(path_, "write");
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Commit() {
  if (file_ == nullptr) return absl::OkStatus();
  ALLO_RETURN_IF_ERROR(CheckOutput(path_, options_));
  return file_->Commit();
}

absl::Status WriteOutput(const std::string& path, absl::string_view contents,
                         const OutputOptions& options) {
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<OutputFile> output,
                        OutputFile::Create(path, options));
  ALLO_RETURN_IF_ERROR(output->Append(contents));
  return output->Commit();
}

}  // namespace allometry
