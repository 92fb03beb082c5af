// A dataset's folder that is replaced as a whole.
//
//   ALLO_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(folder));
//   ALLO_ASSIGN_OR_RETURN(const auto staged, StagedFolder::Create(folder));
//   ... files into staged->path() ...
//   ALLO_RETURN_IF_ERROR(staged->Commit());
//
// For DATA_DIR/NAME the new files go to DATA_DIR/.NAME.new, which no program takes for a dataset.
// Commit() gives the two folders each other's name in one step of the file system
// (renameat2, RENAME_EXCHANGE) and then deletes the old files. So a failure, a full disk or kill -9
// at any time leaves either the old dataset or the new one, whole. A file system without that step
// (NFS) renames twice, through DATA_DIR/.NAME.old; FolderLock::Acquire() completes the second
// rename where a crash came between.
//
// Files that a user put into the folder are kept: Commit() moves them to the new folder.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace allometry::data {

// One maker of a folder at a time, among all processes of a machine: flock on DATA_DIR/.NAME.lock,
// a file that is there only while somebody holds or awaits the lock.
class FolderLock {
 public:
  // Waits for whoever holds it. Makes DATA_DIR; `folder` itself may be missing.
  static absl::StatusOr<FolderLock> Acquire(const std::string& folder);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  std::string path_;  // empty before it is held
  int fd_;
};

class StagedFolder {
 public:
  // Deletes what an interrupted make left in the staging folder and makes it anew. `folder` may be
  // a symbolic link: then the folder that it leads to is replaced.
  static absl::StatusOr<std::unique_ptr<StagedFolder>> Create(const std::string& folder);
  // Deletes the staging folder.
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::string& path() const { return staging_; }

  // Once, when all files are written and synced.
  absl::Status Commit();

 private:
  StagedFolder(std::string folder, std::string staging)
      : folder_(std::move(folder)), staging_(std::move(staging)) {}

  const std::string folder_;
  const std::string staging_;
};

// InvalidArgument where one of `inputs` lies inside `folder`: making the dataset would delete it.
absl::Status CheckInputsOutside(const std::string& folder, const std::vector<std::string>& inputs);

}  // namespace allometry::data
