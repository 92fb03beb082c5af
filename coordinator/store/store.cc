#include "coordinator/store/store.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/files.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/schema.h"

namespace allometry::store {
namespace {

absl::StatusOr<std::unique_ptr<Connection>> OpenForWriting(const std::string& path,
                                                           int busy_timeout_ms) {
  ALLO_ASSIGN_OR_RETURN(std::unique_ptr<Connection> db,
                        Connection::Open(path, Connection::Mode::kReadWrite, busy_timeout_ms));
  ALLO_RETURN_IF_ERROR(db->Execute("PRAGMA journal_mode = WAL"));
  ALLO_RETURN_IF_ERROR(db->Execute("PRAGMA synchronous = FULL"));
  // Savepoints undo from memory; 16 MiB of log between its copies into the file, cut back after.
  ALLO_RETURN_IF_ERROR(
      db->Execute("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536; "
                  "PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 67108864"));
  ALLO_RETURN_IF_ERROR(Migrate(*db, Migrations()));
  return db;
}

// The wall clock may have been set since the last opening: then the attempts that still run started
// at another of its times. Within one boot of the machine the boot clock says by how much.
absl::Status CarryTimesOver(Connection& db, const Clock& clock) {
  constexpr int64_t kSlewUs = 1'000'000;
  const std::string boot_id(
      absl::StripAsciiWhitespace(ReadFile("/proc/sys/kernel/random/boot_id").value_or("")));
  const int64_t offset_us = clock.UnixMicros() - clock.BootNanos() / 1000;
  ALLO_ASSIGN_OR_RETURN(const std::string before, db.QueryText("SELECT boot_id FROM openings"));
  ALLO_ASSIGN_OR_RETURN(const int64_t offset_before_us,
                        db.QueryInt("SELECT clock_offset_us FROM openings"));
  const int64_t jump_us = offset_us - offset_before_us;
  ALLO_RETURN_IF_ERROR(db.Execute("BEGIN IMMEDIATE"));
  absl::Status status;
  if (!boot_id.empty() && before == boot_id && std::abs(jump_us) > kSlewUs) {
    status = db.Prepare(
                   "UPDATE attempts SET started_unix_us = started_unix_us + ?1 "
                   "WHERE state = 'LEASED'")
                 .With(jump_us)
                 .Run();
  }
  if (status.ok()) {
    status = db.Prepare("UPDATE openings SET boot_id = ?1, clock_offset_us = ?2")
                 .With(absl::string_view(boot_id), offset_us)
                 .Run();
  }
  if (status.ok()) status = db.Execute("COMMIT");
  if (!status.ok() && db.in_transaction()) db.Execute("ROLLBACK").IgnoreError();
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& named,
                                                   const Options& options) {
  ALLO_CHECK(options.readers > 0 && options.clock != nullptr);
  auto parts = std::make_unique<Parts>();
  parts->options = options;
  ALLO_ASSIGN_OR_RETURN(parts->file, DatabaseFile::Acquire(named));
  const std::string& path = parts->file->path();
  unlink(UnfinishedBackup(path).c_str());  // of a coordinator that was killed
  ALLO_ASSIGN_OR_RETURN(std::unique_ptr<Connection> db,
                        OpenForWriting(path, options.busy_timeout_ms));
  ALLO_RETURN_IF_ERROR(CarryTimesOver(*db, *options.clock));
  ALLO_RETURN_IF_ERROR(parts->file->Open(*db));
  ALLO_ASSIGN_OR_RETURN(parts->readers,
                        Readers::Open(path, options.readers, options.busy_timeout_ms));
  parts->writer = std::make_unique<Writer>(std::move(db), parts->file.get(), options.committed,
                                           options.lost, options.clock);
  return std::unique_ptr<Store>(new Store(std::move(parts)));
}

Store::Store(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Store::~Store() = default;

const std::string& Store::incarnation() const { return parts_->file->opening(); }

const std::string& Store::missing_log() const { return parts_->file->missing_log(); }

}  // namespace allometry::store
