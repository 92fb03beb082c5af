// What a Store is made of, for the files that implement its members by subject.
#pragma once

#include <memory>

#include "coordinator/store/file_lock.h"
#include "coordinator/store/readers.h"
#include "coordinator/store/store.h"
#include "coordinator/store/writer.h"

namespace allometry::store {

// Constant after construction. Destroyed from the bottom: the writer ends before the readers that
// its callbacks may use, the lock last.
struct Store::Parts {
  Options options;
  std::unique_ptr<FileLock> lock;
  std::unique_ptr<Readers> readers;
  std::unique_ptr<Writer> writer;
};

}  // namespace allometry::store
