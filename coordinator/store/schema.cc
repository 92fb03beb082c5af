#include "coordinator/store/schema.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"

namespace allometry::store {
namespace {

absl::Status SyncFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(path, "open");
  const absl::Status synced = fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(path, "sync");
  close(fd);
  return synced;
}

// A copy of the whole database as it is now, the write-ahead log included. An older copy of the
// same version stays: it is the one from before anything was tried.
absl::Status Backup(Connection& db, int64_t version) {
  const std::string copy = absl::StrCat(db.path(), ".v", version, ".backup");
  if (access(copy.c_str(), F_OK) == 0) return absl::OkStatus();
  const std::string unfinished = absl::StrCat(copy, ".unfinished");
  unlink(unfinished.c_str());
  ALLO_RETURN_IF_ERROR(
      Annotate(db.CopyTo(unfinished), absl::StrCat("copying the database to ", copy)));
  ALLO_RETURN_IF_ERROR(SyncFile(unfinished));
  if (rename(unfinished.c_str(), copy.c_str()) != 0) {
    return ErrnoStatus(copy, "rename");
  }
  return absl::OkStatus();
}

absl::Status Apply(Connection& db, int64_t version, absl::Span<const char* const> migrations) {
  ALLO_RETURN_IF_ERROR(db.Execute("BEGIN IMMEDIATE"));
  absl::Status status;
  for (size_t step = static_cast<size_t>(version); status.ok() && step < migrations.size();
       ++step) {
    status = Annotate(db.Execute(migrations[step]), absl::StrCat("to schema version ", step + 1));
  }
  if (status.ok()) {
    status = db.Execute(absl::StrFormat("PRAGMA user_version = %d; PRAGMA application_id = %d",
                                        migrations.size(), kApplicationId));
  }
  if (status.ok()) status = db.Execute("COMMIT");
  if (!status.ok() && db.in_transaction()) {
    if (const absl::Status undone = db.Execute("ROLLBACK"); !undone.ok()) return undone;
  }
  return status;
}

}  // namespace

absl::Status Migrate(Connection& db, absl::Span<const char* const> migrations) {
  ALLO_ASSIGN_OR_RETURN(const int64_t version, db.QueryInt("PRAGMA user_version"));
  ALLO_ASSIGN_OR_RETURN(const int64_t application, db.QueryInt("PRAGMA application_id"));
  ALLO_ASSIGN_OR_RETURN(const int64_t tables, db.QueryInt("SELECT count(*) FROM sqlite_schema"));
  const bool fresh = version == 0 && application == 0 && tables == 0;
  if (!fresh && application != kApplicationId) {
    return absl::FailedPreconditionError(
        absl::StrCat(db.path(), ": not a database of Allometry; choose another file"));
  }
  const auto newest = static_cast<int64_t>(migrations.size());
  if (version > newest) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s: its schema is version %d, this program knows versions up to %d; use a newer program",
        db.path(), version, newest));
  }
  if (version == newest) return absl::OkStatus();
  if (!fresh) ALLO_RETURN_IF_ERROR(Backup(db, version));
  return Annotate(Apply(db, version, migrations), db.path());
}

}  // namespace allometry::store
