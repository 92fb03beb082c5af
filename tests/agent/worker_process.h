// allo-worker as a child of a test, with folders of its own and tests/agent/fake_trainer.cc as its
// trainer.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/testing/child_process.h"
#include "tests/testing/temporary_folder.h"
#include "worker/agent/state_dir.h"

namespace allometry::testing {

class WorkerProcess {
 public:
  WorkerProcess(std::string coordinator, std::string slots);

  // For the next Start.
  std::string state_dir;  // its own, unless set
  std::string trainer;    // the fake one, unless set
  std::vector<std::string> extra_arguments;
  std::vector<std::string> wrapper;  // a program that becomes the agent, with its arguments

  // Starts it, again after it ended: the same folders.
  void Start();
  void Signal(int signal) const { process_.Signal(signal); }
  // Its exit code, or 128 + the signal that ended it; waits.
  int Wait() { return process_.Wait(); }

  std::string folder() const { return folder_.path(); }
  std::string RunDir(const agent::Lease& lease) const;
  // Living processes of the attempt, as its environment marks them.
  std::vector<pid_t> ProcessesOf(const agent::Lease& lease) const;
  // What the attempt's trainer printed, and what the agent did.
  std::string LogOf(const agent::Lease& lease) const;
  std::string output() const;

 private:
  const TemporaryFolder folder_;
  const std::string coordinator_;
  const std::string slots_;
  ChildProcess process_;  // last: killed before its folder goes; its trainers end by themselves
};

}  // namespace allometry::testing
