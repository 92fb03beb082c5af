// A program that a test starts, signals and waits for.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "base/check.h"

namespace allometry::testing {

class ChildProcess {
 public:
  ChildProcess() = default;
  // Kills it where it still runs.
  ~ChildProcess() {
    if (!started()) return;
    Signal(SIGKILL);
    Wait();
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Starts it, again after it was waited for; both outputs are appended to `log_path`.
  void Start(std::vector<std::string> arguments, const std::string& log_path) {
    ALLO_CHECK(!started());
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0644);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    ALLO_CHECK(posix_spawnp(&pid_, pointers[0], &files, nullptr, pointers.data(), environ) == 0)
        << pointers[0];
    posix_spawn_file_actions_destroy(&files);
  }

  bool started() const { return pid_ != 0; }
  void Signal(int signal) const { ALLO_CHECK(started() && kill(pid_, signal) == 0); }

  // Its exit code, or 128 + the signal that ended it; waits.
  int Wait() {
    int status = 0;
    ALLO_CHECK(waitpid(pid_, &status, 0) == pid_);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = 0;
};

}  // namespace allometry::testing
