// A small pool of read-only connections. Each is used by one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "coordinator/store/sqlite.h"

namespace allometry::store {

class Readers {
 public:
  static absl::StatusOr<std::unique_ptr<Readers>> Open(const std::string& path, int count,
                                                       int busy_timeout_ms);
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  // Calls read(connection) inside one read transaction, so that all its queries see the same
  // commit. `read` returns a Status or a StatusOr. Waits for a free connection.
  template <class Read>
  auto Run(Read read) -> decltype(read(std::declval<Connection&>())) {
    BorrowedConnection borrowed(*this);
    if (absl::Status begun = borrowed.db().Execute("BEGIN"); !begun.ok()) return begun;
    auto result = read(borrowed.db());
    // Ends a read: there is nothing that could fail to be written.
    borrowed.db().Execute("COMMIT").IgnoreError();
    return result;
  }

 private:
  class BorrowedConnection {
   public:
    explicit BorrowedConnection(Readers& readers) : readers_(readers), db_(readers.Take()) {}
    ~BorrowedConnection() { readers_.GiveBack(std::move(db_)); }
    BorrowedConnection(const BorrowedConnection&) = delete;
    BorrowedConnection& operator=(const BorrowedConnection&) = delete;
    Connection& db() { return *db_; }

   private:
    Readers& readers_;
    std::unique_ptr<Connection> db_;
  };

  Readers() = default;
  std::unique_ptr<Connection> Take();
  void GiveBack(std::unique_ptr<Connection> db);

  Mutex mutex_;
  ConditionVariable returned_;
  std::vector<std::unique_ptr<Connection>> free_ ALLO_GUARDED_BY(mutex_);
};

}  // namespace allometry::store
