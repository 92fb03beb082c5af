// Files that were read whole and had the hash that they should have, each remembered with what a
// change of the file changes: device, inode, size, and the times of its contents and of its inode.
// Kept in a file, so that a worker that is started again reads no terabyte again. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/status.h"

namespace allometry::agent {

struct FileIdentity {
  uint64_t device = 0, inode = 0;
  int64_t bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

// NotFound, or what stat(2) says. InvalidArgument: it is no regular file.
absl::StatusOr<FileIdentity> IdentityOf(const std::string& path);

class VerifiedFiles {
 public:
  // Kept in the file `kept_in`, or nowhere where that is empty. What cannot be read counts as
  // nothing verified.
  explicit VerifiedFiles(std::string kept_in);

  bool Contains(const std::string& path, const std::string& hash,
                const FileIdentity& identity) const;
  void Put(const std::string& path, const std::string& hash, const FileIdentity& identity);
  void Clear() { files_.clear(); }
  absl::Status Save() const;

 private:
  struct Entry {
    std::string hash;
    FileIdentity identity;
  };
  const std::string kept_in_;
  std::map<std::string, Entry> files_;  // by path
};

}  // namespace allometry::agent
