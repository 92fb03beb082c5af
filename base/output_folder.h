// A folder that is written beside its place and moved there whole: what was there stays until then.
//
//   ALLO_ASSIGN_OR_RETURN(auto folder, OutputFolder::Create(path));
//   ...  // write files under folder->temporary_path()
//   ALLO_RETURN_IF_ERROR(folder->Commit(replace));
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/status.h"

namespace allometry {

// The files go to PATH.tmp.PID.n. Errors as in base/files.h.
class OutputFolder {
 public:
  static absl::StatusOr<std::unique_ptr<OutputFolder>> Create(const std::string& path);
  // Removes what was written, unless Commit succeeded.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  // Where to write until Commit.
  const std::string& temporary_path() const { return temporary_; }
  // Once. A folder at PATH is replaced in one step where the file system can exchange two names,
  // otherwise in two; only then is the old one removed. AlreadyExists: it is there, and `replace`
  // is false.
  absl::Status Commit(bool replace);

 private:
  OutputFolder(std::string path, std::string temporary)
      : path_(std::move(path)), temporary_(std::move(temporary)) {}

  const std::string path_;
  const std::string temporary_;
};

}  // namespace allometry
