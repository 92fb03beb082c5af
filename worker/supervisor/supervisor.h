// allo-supervisor starts one process of a sweep file's command (docs/trainer.md) for an agent, on
// the host of that process, and ends it.
//
//   agent ── none | mpirun | srun ──> allo-supervisor ATTEMPT_DIR ──> the command ──> its children
//
// It starts the command as ATTEMPT_DIR/start.json says, passes the agent's lines on to the
// command's standard input, and ends when the command does. When the command ends, every process
// that descends from it is ended too (worker/launch/descendants.h):
//
//   the command's own end               what it left gets SIGKILL at once
//   the lease's end                     SIGKILL a second later
//   the end of the agent's lines        the command's standard input closes; SIGKILL a second later
//   SIGTERM                             SIGTERM to all; SIGKILL 1.5 s later
//   a line "kill"                       SIGKILL at once
//
// Its exit code is the command's, or 128 + the signal that ended it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/status.h"
#include "worker/launch/start_plan.h"

namespace allometry::supervisor {

class Supervisor {
 public:
  Supervisor(std::string attempt_dir, size_t rank)
      : attempt_dir_(std::move(attempt_dir)), rank_(rank) {}

  // The exit code. Errors: the command cannot be started on this host.
  absl::StatusOr<int> Run();

 private:
  absl::Status Start(const launch::Command& command);
  void Loop();
  void ReadLines();
  void OnLine(absl::string_view line);
  void OnLease(absl::string_view line, int64_t now_ns);
  void OnLinesEnd();
  void OnSignals();
  void Reap();
  // What of the pending lines the command's standard input takes.
  void HandOn();
  void KillAt(int64_t at_ns);
  // SIGKILL until nothing is left that can be ended.
  void EndAll();
  void WriteLeftBehind() const;

  const std::string attempt_dir_;
  const size_t rank_;
  bool repeats_ = false;  // lines, for the other processes
  int lines_ = -1;        // where the agent's lines come from; -1: ended
  int signals_ = -1;
  int input_ = -1;  // the command's standard input; -1: closed
  pid_t command_ = 0;
  bool ended_ = false;
  int wait_status_ = 0;
  int64_t lease_end_ns_ = 0;  // boot clock; 0: no lease was told of
  int64_t kill_at_ns_ = 0;    // 0: not to be killed
  std::string unread_;        // the beginning of a line
  std::string lease_line_;    // pending; a later one takes its place
  std::string words_;         // pending
};

}  // namespace allometry::supervisor
