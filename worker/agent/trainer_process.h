// One started attempt: the trainer, or the mpirun over its ranks, as a child of the agent.
//
// The child has a session of its own, so that Ctrl-C reaches the agent alone; its standard input is
// a pipe that closes when the agent dies, however it dies; output and error go to the log file.
// One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
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

  // Writes `line` and '\n' to rank 0's standard input, wholly or not at all: false when the pipe is
  // full (the trainer does not read) or closed (it is gone).
  bool WriteLine(absl::string_view line);

  // SIGTERM to the child, of a command to all its processes; 2 s later SIGKILL to every process of
  // the attempt. For an attempt whose
  // writes nobody wants any more: Open MPI tidies up after itself on SIGTERM.
  void Terminate();
  // SIGKILL to every process of the attempt.
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
  TrainerProcess(pid_t pid, int input_fd, std::string mark, bool is_foreign)
      : pid_(pid), input_fd_(input_fd), mark_(std::move(mark)), is_foreign_(is_foreign) {}

  const pid_t pid_;
  int input_fd_;
  const std::string mark_;
  const bool is_foreign_;
  int64_t kill_at_ns_ = 0;  // boot clock; 0: not asked for
  bool waited_ = false;
  bool group_ended_ = false;
  bool gone_ = false;
  int wait_status_ = 0;
};

}  // namespace allometry::agent
