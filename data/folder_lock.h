// One writer of a folder at a time, among all processes of a machine: flock on the folder itself.
#pragma once

#include <string>

#include "base/status.h"

namespace allometry::data {

class FolderLock {
 public:
  // Waits for whoever holds it. The folder must exist.
  static absl::StatusOr<FolderLock> Acquire(const std::string& folder);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace allometry::data
