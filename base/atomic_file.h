// A file written in pieces that is there whole or not at all.
//
//   ALLO_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
//   for (...) ALLO_RETURN_IF_ERROR(file->Append(piece));
//   ALLO_RETURN_IF_ERROR(file->Commit());
//
// The pieces go to PATH.tmp.PID.n. Commit syncs it, renames it over PATH and syncs the folder;
// without it the destructor removes what was written. Errors as in base/files.h.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/status.h"

namespace allometry {

class AtomicFile {
 public:
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  absl::Status Append(absl::string_view bytes);
  // Once, after the last piece.
  absl::Status Commit();

  // Where the pieces are until Commit.
  const std::string& temporary_path() const { return temporary_; }

 private:
  AtomicFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

  const std::string path_;
  const std::string temporary_;
  int fd_;
  bool committed_ = false;
};

// Removes what processes of this user left beside `path` that were killed while they wrote it:
// files PATH.tmp.* of more than a minute ago that no process has open in an AtomicFile.
void RemoveLeftTemporaries(const std::string& path);

// Makes a new name, or one that was moved or removed, durable: syncs the folder that has `path`.
absl::Status SyncFolderOf(const std::string& path);

}  // namespace allometry
