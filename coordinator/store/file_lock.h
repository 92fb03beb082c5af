// One coordinator a database: an exclusive flock on PATH.lock for as long as the object lives, also
// when its process is killed. The file stays and holds the owner's process id, for people.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"

namespace allometry::store {

class FileLock {
 public:
  // FailedPrecondition names the process that holds it.
  static absl::StatusOr<std::unique_ptr<FileLock>> Acquire(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace allometry::store
