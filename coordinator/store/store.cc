#include "coordinator/store/store.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
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

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path,
                                                   const Options& options) {
  ALLO_CHECK(options.exit_rule != nullptr && options.readers > 0 && options.clock != nullptr);
  auto parts = std::make_unique<Parts>();
  parts->path = path;
  parts->options = options;
  ALLO_ASSIGN_OR_RETURN(parts->lock, FileLock::Acquire(absl::StrCat(path, ".lock")));
  unlink(UnfinishedBackup(path).c_str());  // of a coordinator that was killed
  ALLO_ASSIGN_OR_RETURN(std::unique_ptr<Connection> db,
                        OpenForWriting(path, options.busy_timeout_ms));
  ALLO_ASSIGN_OR_RETURN(parts->readers,
                        Readers::Open(path, options.readers, options.busy_timeout_ms));
  parts->writer = std::make_unique<Writer>(std::move(db), options.committed, options.clock);
  return std::unique_ptr<Store>(new Store(std::move(parts)));
}

Store::Store(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Store::~Store() = default;

}  // namespace allometry::store
