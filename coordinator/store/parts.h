// What a Store is made of, for the files that implement its members by subject.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "coordinator/store/database_file.h"
#include "coordinator/store/readers.h"
#include "coordinator/store/store.h"
#include "coordinator/store/writer.h"

namespace allometry::store {

// Constant after construction, except the flag and the counter. Members are destroyed from the
// bottom: the writer first, because its callbacks may use the readers; the file last.
struct Store::Parts {
  Options options;
  std::atomic<bool> backing_up = false;  // one copy beside the database is enough for its disk
  std::atomic<int64_t> points_stored = 0;
  std::unique_ptr<DatabaseFile> file;
  std::unique_ptr<Readers> readers;
  std::unique_ptr<Writer> writer;
};

// Where a backup is made before it is sent.
std::string UnfinishedBackup(const std::string& db_path);

}  // namespace allometry::store
