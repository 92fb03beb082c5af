// The file behind a database. Checks that it is a database of ours, that only one coordinator has
// it, and that its path still leads to it.
//
// The lock is on the file's inode, so a link, another mount or a removed PATH.lock lets no second
// coordinator in. It is an open-file-description lock on one byte far behind any page, so that it
// does not interact with SQLite's own locks; it ends with the process. PATH.lock holds the owner's
// process id, for people, and the ids of openings (below).
//
// Openings. Each start writes a random id into the database and copies its log into the file. The
// file then says which opening it belongs to, which tells three accidents apart from a crash:
//   - a log (PATH-wal) beside a file of another opening: a copy was put in the place of the
//     database. SQLite would mix the two; Acquire refuses.
//   - no log beside a file that was not closed: what was written last is missing (MissingLog).
//   - the id goes from the file while it is served: somebody wrote over it (Check).
//
// Threading: Check from one thread. Whoever closes any descriptor of the file drops SQLite's own
// locks on it (POSIX), so this object outlives every connection, and nobody else opens the file.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "coordinator/store/sqlite.h"

namespace allometry::store {

class DatabaseFile {
 public:
  // Makes the file (for its owner alone) where it is not there. Symbolic links are followed.
  // InvalidArgument: no file is meant (":memory:", a folder, a pipe). FailedPrecondition: another
  // coordinator has it (its process is named where it is known), it is not a database of ours, or
  // its log belongs to another copy. DataLoss: it begins with zeros.
  static absl::StatusOr<std::unique_ptr<DatabaseFile>> Acquire(const std::string& path);
  ~DatabaseFile();
  DatabaseFile(const DatabaseFile&) = delete;
  DatabaseFile& operator=(const DatabaseFile&) = delete;

  // Of a whole copy at `path` that nobody has open: no log belongs to it.
  static absl::Status MakeIndependent(const std::string& path);

  // Without symbolic links: the name that SQLite's other files are beside.
  const std::string& path() const { return path_; }

  // Marks a new opening in the migrated database and remembers its files. Once, after the last
  // other write to the table `openings`: while its page is in the log, copying the log would put
  // the id into a file that was written over. Unavailable: another program holds the database.
  absl::Status Open(Connection& db);
  // The id of this opening; empty before Open.
  const std::string& opening() const { return opening_; }
  // The sentence for people where Acquire found that the last log is missing; otherwise empty.
  const std::string& missing_log() const { return missing_log_; }

  // Unavailable from the moment on when the path, or that of the log or its index, leads elsewhere,
  // or the file was written over. A few microseconds.
  absl::Status Check();
  // The paths, and whether Check ever failed; from any thread after Open.
  absl::Status CheckPaths() const;
  // After Check failed: keeps what the file held as well as it can, and says where that is now.
  // Leaves the log in its place.
  std::string Rescue(Connection& db);

  // The last write: the file is whole without its log.
  absl::Status Close(Connection& db);

 private:
  DatabaseFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  absl::Status CheckNow();
  absl::Status Lock();
  absl::Status CheckKind() const;
  absl::Status CheckLog();
  absl::Status WriteLockFile() const;
  absl::Status RememberFiles();
  // Whether the page with the opening's id is in the file as it is now.
  bool HasOpening() const;

  // An inode, and what it is called.
  struct Identity {
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
  };

  const std::string path_;
  const int fd_;
  bool locked_ = false;
  std::pair<dev_t, ino_t> inode_;
  std::string opening_;
  std::string missing_log_;
  std::vector<std::string> openings_;  // whose frames the log may have, the newest last
  std::vector<Identity> files_;
  int64_t page_ = 0;  // offset of the page with the id; 0: the file does not have it yet
  int64_t page_bytes_ = 0;
  std::atomic<bool> is_lost_ = false;
};

}  // namespace allometry::store
