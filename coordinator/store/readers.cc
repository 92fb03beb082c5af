#include "coordinator/store/readers.h"

namespace allometry::store {

absl::StatusOr<std::unique_ptr<Readers>> Readers::Open(const std::string& path, int count,
                                                       int busy_timeout_ms) {
  std::unique_ptr<Readers> readers(new Readers());
  for (int i = 0; i < count; ++i) {
    ALLO_ASSIGN_OR_RETURN(std::unique_ptr<Connection> db,
                          Connection::Open(path, Connection::Mode::kReadOnly, busy_timeout_ms));
    // A sweep of ten thousand runs or a curve of a hundred thousand points is read once a look.
    ALLO_RETURN_IF_ERROR(db->Execute("PRAGMA cache_size = -16384"));
    MutexLock lock(readers->mutex_);
    readers->free_.push_back(std::move(db));
  }
  return readers;
}

std::unique_ptr<Connection> Readers::Take() {
  MutexLock lock(mutex_);
  while (free_.empty()) returned_.Wait(lock);
  std::unique_ptr<Connection> db = std::move(free_.back());
  free_.pop_back();
  return db;
}

void Readers::GiveBack(std::unique_ptr<Connection> db) {
  MutexLock lock(mutex_);
  free_.push_back(std::move(db));
  returned_.NotifyOne();
}

}  // namespace allometry::store
