// A folder for temporary files that is removed with the object. What a program left that was killed
// is removed by the next one.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace allometry::cli {

class ScratchFolder {
 public:
  // PREFIX-XXXXXX in the folder for temporary files. It is locked (flock) while the object exists;
  // folders of this user with that prefix that nobody has locked are removed first.
  static absl::StatusOr<std::unique_ptr<ScratchFolder>> Make(absl::string_view prefix);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  ScratchFolder(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::string path_;
  const int fd_;
};

}  // namespace allometry::cli
