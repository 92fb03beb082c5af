// A copy of the live database: made beside it, verified, then read out without a name, so that
// whatever ends the coordinator leaves at most one unfinished copy, which the next start removes.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "coordinator/store/parts.h"

namespace allometry::store {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

// Removes the file however a copy ends.
class Unlinked {
 public:
  explicit Unlinked(std::string path) : path_(std::move(path)) { unlink(path_.c_str()); }
  ~Unlinked() { unlink(path_.c_str()); }
  Unlinked(const Unlinked&) = delete;
  Unlinked& operator=(const Unlinked&) = delete;
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

// On a connection of its own: VACUUM INTO takes no part in another transaction, and a writer is not
// waited for.
absl::Status MakeCopy(const std::string& path, const std::string& copy, int busy_timeout_ms) {
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> db,
                        Connection::Open(path, Connection::Mode::kReadOnly, busy_timeout_ms));
  return db->CopyTo(copy);
}

absl::Status Verify(const std::string& copy) {
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> db,
                        Connection::Open(copy, Connection::Mode::kReadOnly, 0));
  Statement check = db->Prepare("PRAGMA quick_check(1)");
  if (!check.Step()) return check.status();
  if (const std::string found = check.Text(0); found != "ok") {
    return absl::DataLossError(absl::StrCat("the copy does not verify: ", found));
  }
  return absl::OkStatus();
}

absl::Status ReadOut(int fd, const std::string& name,
                     const std::function<bool(absl::string_view)>& write, int64_t& bytes) {
  std::string piece(kPieceBytes, '\0');
  for (;;) {
    const ssize_t got = read(fd, piece.data(), piece.size());
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(name, "read");
    }
    if (got == 0) return absl::OkStatus();
    if (!write(absl::string_view(piece).substr(0, static_cast<size_t>(got)))) {
      return absl::CancelledError("nobody takes the copy any more");
    }
    bytes += got;
  }
}

}  // namespace

std::string UnfinishedBackup(const std::string& db_path) {
  return absl::StrCat(db_path, ".backup.unfinished");
}

absl::StatusOr<BackupSummary> Store::Backup(
    const std::function<bool(absl::string_view)>& write) const {
  const std::string& path = parts_->file->path();
  BackupSummary summary;
  absl::StatusOr<int> opened = [&]() -> absl::StatusOr<int> {
    // Until the copy is made and has no name any more: how long it is read is its reader's affair.
    if (parts_->backing_up.exchange(true)) {
      return absl::FailedPreconditionError(
          "another backup is being made; try again when it is done");
    }
    struct Done {
      std::atomic<bool>& flag;
      ~Done() { flag = false; }
    } const done{parts_->backing_up};
    const Unlinked copy(UnfinishedBackup(path));
    ALLO_RETURN_IF_ERROR(MakeCopy(path, copy.path(), parts_->options.busy_timeout_ms));
    // The copy's own connection went by the path.
    ALLO_RETURN_IF_ERROR(parts_->file->CheckPaths());
    ALLO_RETURN_IF_ERROR(DatabaseFile::MakeIndependent(copy.path()));
    ALLO_RETURN_IF_ERROR(Verify(copy.path()));
    ALLO_ASSIGN_OR_RETURN(summary.hash, HashFileHex(copy.path()));
    const int fd = open(copy.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ErrnoStatus(copy.path(), "open");
    return fd;
  }();
  if (!opened.ok()) return Annotate(opened.status(), "no copy of the database was made");
  const OpenFile file(*opened);
  ALLO_RETURN_IF_ERROR(ReadOut(file.fd(), path, write, summary.bytes));
  return summary;
}

}  // namespace allometry::store
