#include "coordinator/store/database_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/mutex.h"

namespace allometry::store {
namespace {

// Behind every page that SQLite can write (at most 2^32 pages of 64 KiB), and its own lock bytes.
constexpr off_t kLockByte = off_t{1} << 60;
constexpr absl::string_view kHeader("SQLite format 3\0", 16);
// More starts than these in which no log could be copied are not told apart.
constexpr size_t kMaxOpenings = 64;

// Locks of one process do not exclude each other where it opens a file twice, and closing either
// descriptor would drop SQLite's locks on the other: a second opening is refused before it opens.
Mutex own_files_mutex;
std::set<std::pair<dev_t, ino_t>>& OwnFiles() {
  static auto* const files = new std::set<std::pair<dev_t, ino_t>>();
  return *files;
}

std::string LockFile(const std::string& path) { return absl::StrCat(path, ".lock"); }
std::string Log(const std::string& path) { return absl::StrCat(path, "-wal"); }
std::string LogIndex(const std::string& path) { return absl::StrCat(path, "-shm"); }

std::vector<std::string> LinesOfLockFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(LockFile(path));
  return text.ok() ? std::vector<std::string>(absl::StrSplit(*text, '\n', absl::SkipEmpty()))
                   : std::vector<std::string>();
}

absl::Status InUse(const std::string& path) {
  const std::vector<std::string> lines = LinesOfLockFile(path);
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": another coordinator uses this database (process ",
                   lines.empty() ? "unknown" : lines[0], "); stop it, or choose another file"));
}

absl::Status Lost(const std::string& path, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(path, " ", what, " while it was served"));
}

// What the file says without its log. No id where it is new or of an older schema.
struct InFile {
  std::string opening;
  bool open = false;
};
InFile ReadWithoutLog(const std::string& path) {
  InFile found;
  const absl::StatusOr<std::unique_ptr<Connection>> db = Connection::OpenWithoutLog(path);
  if (!db.ok()) return found;
  // Whatever is wrong with the file is said when it is opened to be used.
  const absl::StatusOr<std::string> opening = (*db)->QueryText("SELECT opening FROM openings");
  const absl::StatusOr<int64_t> open = (*db)->QueryInt("SELECT is_open FROM openings");
  if (opening.ok() && open.ok()) found = {*opening, *open != 0};
  return found;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DatabaseFile>> DatabaseFile::Acquire(const std::string& named) {
  if (named.empty() || named[0] == ':' || absl::StartsWith(named, "file:")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--db '", named, "': a file is needed, for example sweeps.db"));
  }
  std::error_code error;
  std::string path = std::filesystem::weakly_canonical(named, error).string();
  if (error || path.empty()) path = named;
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": a file is needed, and this is ",
                       S_ISDIR(info.st_mode) ? "a folder" : "a pipe, a socket or a device"));
    }
    MutexLock lock(own_files_mutex);
    if (OwnFiles().count({info.st_dev, info.st_ino}) > 0) return InUse(path);
  }
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
  if (fd < 0) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    std::error_code ignored;
    if (errno != ENOENT || folder.empty() || std::filesystem::exists(folder, ignored)) {
      return ErrnoStatus(path, "open");
    }
    return absl::NotFoundError(
        absl::StrCat(path, ": the folder ", folder, " does not exist; make it first"));
  }
  std::unique_ptr<DatabaseFile> file(new DatabaseFile(std::move(path), fd));
  ALLO_RETURN_IF_ERROR(file->Lock());
  ALLO_RETURN_IF_ERROR(file->CheckKind());
  ALLO_RETURN_IF_ERROR(file->CheckLog());
  ALLO_RETURN_IF_ERROR(file->WriteLockFile());
  return file;
}

absl::Status DatabaseFile::Lock() {
  struct flock one {};
  one.l_type = F_WRLCK;
  one.l_whence = SEEK_SET;
  one.l_start = kLockByte;
  one.l_len = 1;
  if (fcntl(fd_, F_OFD_SETLK, &one) != 0) {
    return errno == EAGAIN || errno == EACCES ? InUse(path_) : ErrnoStatus(path_, "lock");
  }
  struct stat info {};
  if (fstat(fd_, &info) != 0) return ErrnoStatus(path_, "stat");
  inode_ = {info.st_dev, info.st_ino};
  locked_ = true;
  MutexLock lock(own_files_mutex);
  OwnFiles().insert(inode_);
  return absl::OkStatus();
}

DatabaseFile::~DatabaseFile() {
  if (locked_) {
    MutexLock lock(own_files_mutex);
    OwnFiles().erase(inode_);
  }
  close(fd_);
}

absl::Status DatabaseFile::CheckKind() const {
  char header[kHeader.size()];
  const ssize_t got = pread(fd_, header, sizeof(header), 0);
  if (got < 0) return ErrnoStatus(path_, "read");
  if (got == 0) return absl::OkStatus();  // new
  if (absl::string_view(header, static_cast<size_t>(got)) == kHeader) return absl::OkStatus();
  if (absl::string_view(header, static_cast<size_t>(got)).find_first_not_of('\0') ==
      absl::string_view::npos) {
    return absl::DataLossError(absl::StrCat(
        path_,
        ": the file begins with zeros, as after a crash of its disk: it is no database any "
        "more; restore a copy of it"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(path_,
                   ": not a database of Allometry, nor of SQLite; it was not touched. Choose "
                   "another file, or restore a copy where this was one"));
}

absl::Status DatabaseFile::CheckLog() {
  struct stat log {};
  const bool has_log = stat(Log(path_).c_str(), &log) == 0 && log.st_size > 0;
  const InFile found = ReadWithoutLog(path_);
  openings_ = LinesOfLockFile(path_);
  if (!openings_.empty()) openings_.erase(openings_.begin());  // the process
  const bool known =
      std::find(openings_.begin(), openings_.end(), found.opening) != openings_.end();
  if (has_log && !found.opening.empty() && !openings_.empty() && !known) {
    return absl::FailedPreconditionError(absl::StrCat(
        path_,
        " is not the database that the log beside it belongs to, as after a copy was put in "
        "its place: to start from this file as it is, move ",
        Log(path_), " away; otherwise put the database back"));
  }
  if (!has_log && found.open) {
    missing_log_ = absl::StrCat(
        path_, " was not closed by its last coordinator, and the log that belongs to it, ",
        Log(path_),
        ", is not there or empty: what was written last is missing. Workers deliver again what "
        "they still have");
    struct stat info {};
    if (fstat(fd_, &info) == 0 && info.st_nlink > 1) {
      return absl::FailedPreconditionError(
          absl::StrCat(missing_log_,
                       ". The file has another name (a hard link): start with the name that it "
                       "was served under, beside which its log is"));
    }
  }
  if (!has_log) openings_.clear();
  return absl::OkStatus();
}

absl::Status DatabaseFile::WriteLockFile() const {
  const std::string text =
      absl::StrCat(getpid(), "\n", absl::StrJoin(openings_, "\n"), openings_.empty() ? "" : "\n");
  return WriteFileAtomically(LockFile(path_), text);
}

absl::Status DatabaseFile::Open(Connection& db) {
  opening_ = RandomHex128();
  openings_.push_back(opening_);
  if (openings_.size() > kMaxOpenings) openings_.clear();
  ALLO_RETURN_IF_ERROR(WriteLockFile());
  ALLO_RETURN_IF_ERROR(db.Execute("BEGIN IMMEDIATE"));
  absl::Status written = db.Prepare("UPDATE openings SET opening = ?1, is_open = 1")
                             .With(absl::string_view(opening_))
                             .Run();
  if (written.ok()) written = db.Execute("COMMIT");
  if (!written.ok()) {
    if (db.in_transaction()) db.Execute("ROLLBACK").IgnoreError();
    return written;
  }
  // Not truncated: a log that is empty is one that was lost.
  ALLO_ASSIGN_OR_RETURN(const bool whole, db.CopyLogIntoFile("PASSIVE"));
  if (whole) {
    ALLO_ASSIGN_OR_RETURN(page_bytes_, db.QueryInt("PRAGMA page_size"));
    ALLO_ASSIGN_OR_RETURN(
        const int64_t root,
        db.QueryInt("SELECT rootpage FROM sqlite_schema WHERE name = 'openings'"));
    page_ = (root - 1) * page_bytes_;
    openings_ = {opening_};
    ALLO_RETURN_IF_ERROR(WriteLockFile());
  }
  return RememberFiles();
}

absl::Status DatabaseFile::RememberFiles() {
  struct stat info {};
  if (fstat(fd_, &info) != 0) return ErrnoStatus(path_, "stat");
  files_.push_back({path_, info.st_dev, info.st_ino});
  for (const std::string& path : {Log(path_), LogIndex(path_)}) {
    if (stat(path.c_str(), &info) != 0) return ErrnoStatus(path, "stat");
    files_.push_back({path, info.st_dev, info.st_ino});
  }
  return absl::OkStatus();
}

bool DatabaseFile::HasOpening() const {
  if (page_ == 0) return true;
  std::string page(static_cast<size_t>(page_bytes_), '\0');
  return pread(fd_, page.data(), page.size(), page_) == static_cast<ssize_t>(page.size()) &&
         absl::StrContains(page, opening_);
}

absl::Status DatabaseFile::CheckPaths() const {
  if (is_lost_) return Lost(path_, "was removed, replaced or written over");
  struct stat info {};
  for (const Identity& file : files_) {
    if (stat(file.path.c_str(), &info) != 0) return Lost(file.path, "was removed or moved away");
    if (info.st_dev != file.device || info.st_ino != file.inode) {
      return Lost(file.path, "was replaced by another file");
    }
  }
  return absl::OkStatus();
}

absl::Status DatabaseFile::Check() {
  absl::Status found = CheckNow();
  if (!found.ok()) is_lost_ = true;
  return found;
}

absl::Status DatabaseFile::CheckNow() {
  ALLO_RETURN_IF_ERROR(CheckPaths());
  // Read each time: a file that is written over within a tick of the file system's clock after this
  // store's own write keeps its time of modification.
  return HasOpening() ? absl::OkStatus() : Lost(path_, "was written over by another program");
}

std::string DatabaseFile::Rescue(Connection& db) {
  db.KeepLog();
  if (!HasOpening()) {
    return absl::StrCat("What is in ", path_, " now is not what was served; restore a copy");
  }
  struct stat info {};
  if (fstat(fd_, &info) == 0 && info.st_nlink == 0) {
    std::string copy;
    for (int i = 1; i < 1000 && (copy.empty() || access(copy.c_str(), F_OK) == 0); ++i) {
      copy = absl::StrCat(path_, ".saved-", i);
    }
    absl::Status copied = db.CopyTo(copy);
    if (copied.ok()) copied = MakeIndependent(copy);
    if (!copied.ok()) return absl::StrCat("Its contents could not be saved: ", copied.message());
    return absl::StrCat("All that it held was saved as ", copy,
                        ": move that to its place, and start again");
  }
  if (const absl::Status closed = Close(db); !closed.ok()) {
    return absl::StrCat("What was written last is in its log alone: ", closed.message());
  }
  struct stat there {};
  if (stat(path_.c_str(), &there) == 0 && there.st_dev == info.st_dev &&
      there.st_ino == info.st_ino) {
    return absl::StrCat("All that was acknowledged is in ", path_, ": start again");
  }
  return "The file that was moved away holds all that was acknowledged: move it back, and start "
         "again";
}

absl::Status DatabaseFile::MakeIndependent(const std::string& path) {
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> db,
                        Connection::Open(path, Connection::Mode::kReadWrite, 0));
  return db->Prepare("UPDATE openings SET opening = ?1, is_open = 0")
      .With(absl::string_view(RandomHex128()))
      .Run();
}

absl::Status DatabaseFile::Close(Connection& db) {
  ALLO_RETURN_IF_ERROR(db.Execute("UPDATE openings SET is_open = 0"));
  return db.CopyLogIntoFile("TRUNCATE").status();
}

}  // namespace allometry::store
