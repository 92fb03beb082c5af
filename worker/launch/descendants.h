// All processes that a process started, and those that they started.
//
// Neither a session, a process group nor an environment holds on to a process that wants to leave;
// its parents do, where the first of them is a subreaper (prctl(2)): a process whose parent ended
// becomes that one's child, and not the machine's.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

namespace allometry::launch {

struct Descendant {
  pid_t pid = 0;
  pid_t parent = 0;
  std::string name;       // of its program, at most 15 bytes
  bool ended = false;     // a zombie, which its parent has to wait for
  long long started = 0;  // in clock ticks since the machine's start: with the pid, one process
};

// From now on orphans among this process's descendants become its children. False: others may too,
// because it is process 1, or had children before it was this program.
bool BecomeSubreaper();

// Of process `root`, without itself. Parents stand before their children.
std::vector<Descendant> DescendantsOf(pid_t root);

// Sends the signal to all of them that have not ended, and returns how many these were. A process
// is looked at again before it is signalled, so a number used again by a stranger is not hit.
int SignalDescendants(pid_t root, int signal);

// Of a subreaper: SIGKILL to the children of this process that it did not start itself (those have
// the numbers `own`) and to all that came of them. Waits for those that have ended, and returns how
// many are still to end. Without `may_kill` it waits for the ended ones alone.
int EndAdopted(const std::set<pid_t>& own, bool may_kill);

}  // namespace allometry::launch
