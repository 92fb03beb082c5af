// One started attempt: the trainer, the allo-supervisor of a command, or the mpirun or srun over
// several of them, as a child of the agent.
//
// The child has a session of its own, so that Ctrl-C reaches the agent alone; its standard input is
// a pipe that closes when the agent dies, however it dies; output and error go to the log file.
// One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "base/status.h"
#include "worker/launch/launcher.h"

namespace allometry::agent {

class TrainerProcess {
 public:
  // `mark` (AttemptMark) finds all processes of the attempt. NotFound where the program is missing.
  static absl::StatusOr<std::unique_ptr<TrainerProcess>> Start(const launch::Command& command,
                                                               const std::string& log_path,
                                                               const std::string& mark);
  // Kills the processes that are left, and waits for the child.
  ~TrainerProcess();
  TrainerProcess(const TrainerProcess&) = delete;
  TrainerProcess& operator=(const TrainerProcess&) = delete;

  pid_t pid() const { return pid_; }
  // The children of this process that are one of these and were not waited for.
  static const std::set<pid_t>& Children() { return children_; }

  // Writes `line` and '\n' to rank 0's standard input, wholly or not at all: false when the pipe is
  // full (the trainer does not read) or closed (it is gone).
  bool WriteLine(absl::string_view line);

  // SIGTERM to the child, which a supervisor hands on to all of a command; 2 s later Kill(). For an
  // attempt whose writes nobody wants any more: Open MPI tidies up after itself on SIGTERM.
  void Terminate();
  // SIGKILL to every process of the attempt. A supervisor is told to do so, because it alone finds
  // all of them, and has a few seconds for it.
  void Kill();
  // As if this process had died.
  void CloseInput();

  // Continues Terminate and Kill. True once the child was waited for and no process of the attempt
  // is left.
  bool Gone();
  // True once the child alone was waited for; what it left is not looked at.
  bool Exited();
  // As of waitpid(2); meaningful once Gone().
  int wait_status() const { return wait_status_; }

 private:
  TrainerProcess(pid_t pid, int input_fd, std::string mark, bool is_supervised)
      : pid_(pid), input_fd_(input_fd), mark_(std::move(mark)), is_supervised_(is_supervised) {
    children_.insert(pid);
  }
  void KillMarked();

  static inline std::set<pid_t> children_;

  const pid_t pid_;
  int input_fd_;
  const std::string mark_;
  const bool is_supervised_;
  int64_t kill_at_ns_ = 0;     // boot clock; 0: not asked for
  int64_t supervised_ns_ = 0;  // until then a supervisor does it; 0: not asked for
  bool waited_ = false;
  bool gone_ = false;
  int wait_status_ = 0;
};

}  // namespace allometry::agent
