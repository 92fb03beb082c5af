#include "tests/agent/worker_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "absl/strings/ascii.h"
#include "base/check.h"
#include "base/files.h"
#include "worker/agent/launch.h"
#include "worker/agent/processes.h"
#include "worker/agent/record_conversion.h"
#include "worker/rundir/run_spec.h"

namespace allometry::testing {

WorkerProcess::WorkerProcess(std::string coordinator, std::string slots)
    : coordinator_(std::move(coordinator)), slots_(std::move(slots)) {
  state_dir = folder_.Path("state");
  ALLO_CHECK(MakeDirectories(folder() + "/data").ok());
}

WorkerProcess::~WorkerProcess() {
  if (pid_ == 0) return;
  Signal(SIGKILL);
  Wait();
}

void WorkerProcess::Start() {
  ALLO_CHECK(pid_ == 0);
  std::vector<std::string> arguments = {ALLO_BIN_DIR "/allo-worker",
                                        "--coordinator",
                                        coordinator_,
                                        "--state-dir",
                                        state_dir,
                                        "--run-root",
                                        folder() + "/runs",
                                        "--data-dir",
                                        folder() + "/data",
                                        "--slots",
                                        slots_,
                                        "--trainer",
                                        FAKE_TRAINER};
  arguments.insert(arguments.end(), extra_arguments.begin(), extra_arguments.end());
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const std::string output_path = folder() + "/output";
  posix_spawn_file_actions_addopen(&files, 2, output_path.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0644);
  ALLO_CHECK(posix_spawn(&pid_, pointers[0], &files, nullptr, pointers.data(), environ) == 0)
      << pointers[0];
  posix_spawn_file_actions_destroy(&files);
}

void WorkerProcess::Signal(int signal) const { ALLO_CHECK(kill(pid_, signal) == 0); }

int WorkerProcess::Wait() {
  int status = 0;
  ALLO_CHECK(waitpid(pid_, &status, 0) == pid_);
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string WorkerProcess::RunDir(const agent::Lease& lease) const {
  return absl::StrCat(folder(), "/runs/run-", lease.run_id);
}

std::vector<pid_t> WorkerProcess::ProcessesOf(const agent::Lease& lease) const {
  const absl::StatusOr<std::string> id = ReadFile(folder() + "/runs/root_id");
  if (!id.ok()) return {};
  return agent::ProcessesWithEnvironment(agent::AttemptMark(absl::StrCat(
      absl::StripAsciiWhitespace(*id), "/run-", lease.run_id, "/attempt-", lease.attempt)));
}

std::string WorkerProcess::LogOf(const agent::Lease& lease) const {
  return ReadFile(rundir::AttemptDir(RunDir(lease), lease.attempt) + "/log").value_or("");
}

std::string WorkerProcess::output() const { return ReadFile(folder() + "/output").value_or(""); }

}  // namespace allometry::testing
