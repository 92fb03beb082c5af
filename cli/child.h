// Programs beside this one, run and waited for.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::cli {

// The folder of this program.
std::string FolderOfThisProgram();

struct ChildProgram {
  std::vector<std::string> arguments;    // arguments[0] is looked for in PATH
  std::vector<std::string> environment;  // "NAME=VALUE", over this process's own
};

struct ChildResult {
  int exit_code = -1;      // 128 + n: ended by signal n
  bool timed_out = false;  // and killed
  double seconds = 0;      // from its start to its end
  std::string output;      // standard output
  std::string errors;      // standard error, its end where it is long
};

// Starts all of them at once and waits for all. An error where one cannot be started; those that
// were are then killed. `scratch` is a folder for their standard error.
absl::StatusOr<std::vector<ChildResult>> RunTogether(const std::vector<ChildProgram>& programs,
                                                     const std::string& scratch, double timeout_s);

}  // namespace allometry::cli
