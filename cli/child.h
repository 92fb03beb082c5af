// Runs other programs and waits for them. None is left running when this program ends: a signal
// that ends it ends them first, and if it is killed their standard input closes.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "worker/launch/launcher.h"

namespace allometry::cli {

// The folder of this program.
std::string FolderOfThisProgram();

// While one exists, SIGINT, SIGTERM and SIGHUP do not end this process: they are remembered. When
// the last is gone a signal that was received ends it after all. One thread.
class HeldSignals {
 public:
  HeldSignals();
  ~HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  static bool received();
};

struct ChildResult {
  int exit_code = -1;      // 128 + n: ended by signal n
  bool timed_out = false;  // and killed
  double seconds = 0;      // from its start to its end
  std::string output;      // standard output
  std::string errors;      // standard error, its end where it is long
};

// Starts all programs, trainers or launchers over them that obey --leased, at once and waits for
// all. An error where one cannot be started, Cancelled where a held signal came; all processes of
// those that were started are then killed. Each gets a lease of `timeout_s` on its standard input.
// `scratch` is a folder for their standard error.
absl::StatusOr<std::vector<ChildResult>> RunTogether(const std::vector<launch::Command>& programs,
                                                     const std::string& scratch, double timeout_s);

}  // namespace allometry::cli
