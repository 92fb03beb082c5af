// SQLite as statuses and values: a connection with its prepared statements. The folder
// coordinator/store is the only one that includes sqlite3.h.
//
// Threading: a Connection and its statements belong to one thread at a time.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "base/status.h"

namespace allometry::store {

class Statement;

struct Blob {
  absl::string_view bytes;
};

class Connection {
 public:
  enum class Mode { kReadWrite, kReadOnly };
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path, Mode mode,
                                                          int busy_timeout_ms);
  // The file as it is without its log, read-only. No lock is taken: only while nobody else has the
  // file open.
  static absl::StatusOr<std::unique_ptr<Connection>> OpenWithoutLog(const std::string& path);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The statement of `sql`, prepared once and kept, without values. `sql` is a string literal:
  // kept by address, and CHECKed to be valid, as only values come from outside and they are bound.
  // One use of a literal ends before the next begins.
  Statement Prepare(const char* sql);

  // Statements without values, for schema and pragmas.
  absl::Status Execute(const std::string& sql);
  // The first column of the first row.
  absl::StatusOr<int64_t> QueryInt(const std::string& sql);
  absl::StatusOr<std::string> QueryText(const std::string& sql);

  // A complete copy at `path`, which must not be there.
  absl::Status CopyTo(const std::string& path);

  // Copies the log's commits into the file and syncs it; `mode` as of PRAGMA wal_checkpoint. False:
  // not all of them, as somebody reads or writes.
  absl::StatusOr<bool> CopyLogIntoFile(const char* mode);
  // The log and its index stay when the last connection closes.
  void KeepLog();

  int64_t last_insert_rowid() const { return sqlite3_last_insert_rowid(db_); }
  int changes() const { return sqlite3_changes(db_); }
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
  const std::string& path() const { return path_; }

  // The last error of this connection: ResourceExhausted on a full disk or file limit, Unavailable
  // when locked, not readable or not writable, DataLoss when damaged, Internal otherwise.
  absl::Status Error(int code) const;

 private:
  friend class Statement;
  // Runs a query of one row; `use` reads it.
  template <class Use>
  absl::Status QueryRow(const std::string& sql, Use use);
  Connection(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}

  sqlite3* const db_;
  const std::string path_;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

// Borrowed from its connection, reset when it goes out of scope.
//
//   Statement find = db.Prepare("SELECT name FROM sweeps WHERE sweep_id = ?1");
//   find.Bind(1, id);
//   while (find.Step()) names.push_back(find.Text(0));
//   ALLO_RETURN_IF_ERROR(find.status());
class Statement {
 public:
  // `status` other than OK: preparing failed, and every step fails with it.
  Statement(Connection& connection, sqlite3_stmt* statement, absl::Status status)
      : connection_(connection), statement_(statement), status_(std::move(status)) {}
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Parameters are numbered from 1. Text and blobs are copied.
  void Bind(int index, int64_t value);
  void Bind(int index, double value);
  void Bind(int index, absl::string_view text);
  void Bind(int index, const std::optional<double>& value);  // NULL when unset
  void Bind(int index, Blob blob);
  // All of them, in order.
  template <class... Values>
  Statement& With(const Values&... values) {
    int index = 0;
    (BindOne(++index, values), ...);
    return *this;
  }

  // True: a row is there. False: done, or an error, which status() has.
  bool Step();
  // Steps a statement that gives no rows, and resets it for the next values.
  absl::Status Run();
  const absl::Status& status() const { return status_; }
  const char* sql() const;

  // Columns are numbered from 0.
  int64_t Int(int column) const { return sqlite3_column_int64(statement_, column); }
  double Real(int column) const { return sqlite3_column_double(statement_, column); }
  bool IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::optional<double> OptionalReal(int column) const;
  std::string Text(int column) const;

 private:
  template <class Value>
  void BindOne(int index, const Value& value) {
    if constexpr (std::is_enum_v<Value> || std::is_integral_v<Value>) {
      Bind(index, static_cast<int64_t>(value));
    } else {
      Bind(index, value);
    }
  }

  Connection& connection_;
  sqlite3_stmt* const statement_;
  absl::Status status_;
};

}  // namespace allometry::store
