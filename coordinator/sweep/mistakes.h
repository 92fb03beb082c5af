// The mistakes of one file, gathered so that its author sees them all at once.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace allometry::sweep {

class Mistakes {
 public:
  explicit Mistakes(absl::string_view file_name) : file_name_(file_name) {}

  // `line` counts from 1. A mistake that was added before is not repeated.
  void Add(int line, absl::string_view text);
  bool empty() const { return mistakes_.empty(); }
  // OK, or InvalidArgument with a line "FILE:LINE: text" for each, in the order of the file.
  absl::Status ToStatus() const;

 private:
  std::string file_name_;
  std::vector<std::pair<int, std::string>> mistakes_;
};

}  // namespace allometry::sweep
