#include "coordinator/store/sqlite.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"

namespace allometry::store {
namespace {

// errno of the last failed call on the file, 0 when unknown.
int LastErrno(sqlite3* db, int which_file) {
  sqlite3_file* file = nullptr;
  int error = 0;
  if (sqlite3_file_control(db, "main", which_file, &file) == SQLITE_OK && file != nullptr &&
      file->pMethods != nullptr) {
    file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error);
  }
  return error;
}

// SQLITE_FULL is ENOSPC; a quota or a limit on the size of files is an I/O error to SQLite.
bool DiskIsFull(int code, sqlite3* db) {
  if (code == SQLITE_FULL) return true;
  if (code != SQLITE_IOERR_WRITE) return false;
  for (const int file : {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER}) {
    const int error = LastErrno(db, file);
    if (error == EDQUOT || error == EFBIG) return true;
  }
  return false;
}

std::string ColumnText(sqlite3_stmt* row, int column) {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(row, column));
  const int size = sqlite3_column_bytes(row, column);
  return bytes == nullptr ? std::string() : std::string(bytes, static_cast<size_t>(size));
}

// Without its counters of memory, SQLite takes no lock of the whole process at every allocation.
// Only before its first use, which need not be ours in a test: then they stay on.
void ConfigureOnce() {
  static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)configured;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::string& path, Mode mode,
                                                             int busy_timeout_ms) {
  ConfigureOnce();
  sqlite3* db = nullptr;
  const int flags =
      mode == Mode::kReadWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  const int code = sqlite3_open_v2(path.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  ALLO_CHECK(db != nullptr) << "out of memory";
  std::unique_ptr<Connection> connection(new Connection(db, path));
  if (code != SQLITE_OK) return connection->Error(code);
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, busy_timeout_ms);
  ALLO_RETURN_IF_ERROR(connection->Execute("PRAGMA foreign_keys = ON"));
  return connection;
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::OpenWithoutLog(const std::string& path) {
  ConfigureOnce();
  std::string uri = "file:";
  for (const char c : path) {
    // What ends a path in a URI, or stands for another character.
    absl::StrAppend(&uri,
                    absl::StrContains("?#%", c) ? absl::StrFormat("%%%02X", c) : std::string(1, c));
  }
  uri += "?immutable=1";
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(
      uri.c_str(), &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  ALLO_CHECK(db != nullptr) << "out of memory";
  std::unique_ptr<Connection> connection(new Connection(db, path));
  if (code != SQLITE_OK) return connection->Error(code);
  return connection;
}

Connection::~Connection() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Statement Connection::Prepare(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr) {
    const int code =
        sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK && (code & 0xff) != SQLITE_ERROR) {
      // Not the text's fault (a damaged or locked schema): the first step reports it.
      statements_.erase(sql);
      return Statement(*this, nullptr, Error(code));
    }
    ALLO_CHECK(code == SQLITE_OK) << sqlite3_errmsg(db_) << " in: " << sql;
  }
  return Statement(*this, statement, absl::OkStatus());
}

absl::Status Connection::Execute(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code);
}

template <class Use>
absl::Status Connection::QueryRow(const std::string& sql, Use use) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  absl::Status status;
  if (code == SQLITE_ROW) {
    use(statement);
  } else {
    status = Error(code == SQLITE_DONE ? SQLITE_INTERNAL : code);
  }
  sqlite3_finalize(statement);
  return status;
}

absl::StatusOr<int64_t> Connection::QueryInt(const std::string& sql) {
  int64_t value = 0;
  ALLO_RETURN_IF_ERROR(
      QueryRow(sql, [&](sqlite3_stmt* row) { value = sqlite3_column_int64(row, 0); }));
  return value;
}

absl::StatusOr<std::string> Connection::QueryText(const std::string& sql) {
  std::string value;
  ALLO_RETURN_IF_ERROR(QueryRow(sql, [&](sqlite3_stmt* row) { value = ColumnText(row, 0); }));
  return value;
}

absl::StatusOr<bool> Connection::CopyLogIntoFile(const char* mode) {
  bool whole = false;
  ALLO_RETURN_IF_ERROR(
      QueryRow(absl::StrCat("PRAGMA wal_checkpoint(", mode, ")"), [&](sqlite3_stmt* row) {
        // busy, frames in the log, frames copied
        whole = sqlite3_column_int(row, 0) == 0 &&
                sqlite3_column_int(row, 1) == sqlite3_column_int(row, 2);
      }));
  return whole;
}

void Connection::KeepLog() {
  int keep = 1;
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
}

absl::Status Connection::CopyTo(const std::string& path) {
  return Prepare("VACUUM INTO ?1").With(absl::string_view(path)).Run();
}

absl::Status Connection::Error(int code) const {
  const int system_error = sqlite3_system_errno(db_);
  std::string message = absl::StrCat(path_, ": ", sqlite3_errmsg(db_));
  if (DiskIsFull(code, db_)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(message, ": make room on its disk; nothing that was acknowledged is lost"));
  }
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(
          absl::StrCat(path_, ": the database is locked by another program; close it or wait (",
                       sqlite3_errmsg(db_), ")"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(
          absl::StrCat(message,
                       ": the file is damaged; restore a copy of it, or save what can be read with "
                       "sqlite3's '.recover'"));
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      if (system_error != 0) absl::StrAppend(&message, " (", std::strerror(system_error), ")");
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(absl::StrCat(message, " (SQLite code ", code, ")"));
  }
}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Statement::Bind(int index, int64_t value) {
  if (statement_ != nullptr) {
    ALLO_CHECK(sqlite3_bind_int64(statement_, index, value) == SQLITE_OK) << sql();
  }
}

void Statement::Bind(int index, double value) {
  if (statement_ != nullptr) {
    ALLO_CHECK(sqlite3_bind_double(statement_, index, value) == SQLITE_OK) << sql();
  }
}

void Statement::Bind(int index, absl::string_view text) {
  if (statement_ != nullptr) {
    ALLO_CHECK(sqlite3_bind_text64(statement_, index, text.data() ? text.data() : "", text.size(),
                                   SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK)
        << sql();
  }
}

void Statement::Bind(int index, const std::optional<double>& value) {
  if (value.has_value()) {
    Bind(index, *value);
  } else if (statement_ != nullptr) {
    ALLO_CHECK(sqlite3_bind_null(statement_, index) == SQLITE_OK) << sql();
  }
}

void Statement::Bind(int index, Blob blob) {
  if (statement_ != nullptr) {
    ALLO_CHECK(sqlite3_bind_blob64(statement_, index, blob.bytes.data(), blob.bytes.size(),
                                   SQLITE_TRANSIENT) == SQLITE_OK)
        << sql();
  }
}

const char* Statement::sql() const { return sqlite3_sql(statement_); }

bool Statement::Step() {
  if (!status_.ok()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) status_ = connection_.Error(code);
  return false;
}

absl::Status Statement::Run() {
  const bool row = Step();
  ALLO_CHECK(!row) << "a row from: " << sql();
  if (statement_ != nullptr) sqlite3_reset(statement_);
  return status_;
}

std::optional<double> Statement::OptionalReal(int column) const {
  if (IsNull(column)) return std::nullopt;
  return Real(column);
}

std::string Statement::Text(int column) const { return ColumnText(statement_, column); }

}  // namespace allometry::store
