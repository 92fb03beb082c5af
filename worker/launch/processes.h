// Finding and ending the processes of an attempt, wherever mpirun or srun put them.
//
// Open MPI gives each rank a process group of its own, so neither a group nor a parent finds them
// all; the environment that they were started with does. Only this user's processes are seen.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/status.h"

namespace allometry::launch {

// Living processes, this one excepted, whose environment at their start held `assignment`
// ("NAME=VALUE", whole).
std::vector<pid_t> ProcessesWithEnvironment(absl::string_view assignment);

// Sends `signal` to each of them and returns how many there were. A process is looked at again
// between being found and being signalled, so a number used again by a stranger is not hit.
int SignalProcessesWithEnvironment(absl::string_view assignment, int signal);

// SIGTERM, after `grace_ms` SIGKILL, and waits until all are gone. DeadlineExceeded names a process
// that is still there `patience_ms` after SIGKILL (in the kernel, on a dead file system).
absl::Status EndProcessesWithEnvironment(absl::string_view assignment, int64_t grace_ms,
                                         int64_t patience_ms);

}  // namespace allometry::launch
