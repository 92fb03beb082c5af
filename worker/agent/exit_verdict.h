// The exit record of a trainer that left none in its spool.
#pragma once

#include <string>

#include "base/status.h"
#include "run/spool.h"

namespace allometry::agent {

// What the agent had done before the trainer ended.
enum class EndedBy {
  kItself,
  kLease,    // killed: its deadline passed
  kPreempt,  // told to stop; killed for not doing so in time, or by someone else meanwhile
  kCancel,
  kStalled,  // killed: its spool did not grow for too long
};

// `wait_status` as of waitpid(2), of the trainer or of the mpirun over it, which reports a rank's
// signal as exit code 128 + signal. `why`: the sentence of EndedBy::kStalled. `oom_kill`: the
// cgroup's count of OOM kills rose meanwhile. `log_tail`: the last lines of the log. The first line
// of a failure's message ends in the last of them that has words; the tail follows whole.
run::ExitRecord JudgeExit(int wait_status, EndedBy ended_by, bool oom_kill,
                          const std::string& log_tail, const std::string& why = "");

// Whether the trainer or one of its ranks died of a signal that is no crash of its own.
bool WasKilled(int wait_status);

// The last `lines` lines of the file as valid UTF-8, at most 4 kB; empty where it cannot be read.
std::string LogTail(const std::string& path, int lines);

// The kernel's count of OOM kills in this process's cgroup (version 2 or 1); 0 where unknown.
// Each kill is the explanation of one attempt.
class OomKills {
 public:
  OomKills();
  // True when there was a kill that no earlier call took.
  bool TakeOne();

 private:
  std::string path_;
  int64_t taken_ = 0;
};

}  // namespace allometry::agent
