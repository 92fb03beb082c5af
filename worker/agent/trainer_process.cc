#include "worker/agent/trainer_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/files.h"
#include "worker/launch/processes.h"

namespace allometry::agent {
namespace {

constexpr int64_t kTermToKillNs = 2'000'000'000;
// For supervisors, also those that mpirun and srun end on other hosts.
constexpr int64_t kSupervisorNs = 8'000'000'000;

// The child's file descriptors and signals. posix_spawn and not fork: the agent has gRPC's threads.
struct SpawnSettings {
  SpawnSettings(int input_fd, int log_fd, const std::string& working_dir) {
    ALLO_CHECK(posix_spawn_file_actions_init(&files) == 0);
    ALLO_CHECK(posix_spawn_file_actions_adddup2(&files, input_fd, 0) == 0);
    ALLO_CHECK(posix_spawn_file_actions_adddup2(&files, log_fd, 1) == 0);
    ALLO_CHECK(posix_spawn_file_actions_adddup2(&files, log_fd, 2) == 0);
    // Whatever a library left open: a stray copy of another attempt's pipe would keep it open.
    ALLO_CHECK(posix_spawn_file_actions_addclosefrom_np(&files, 3) == 0);
    if (!working_dir.empty()) {
      ALLO_CHECK(posix_spawn_file_actions_addchdir_np(&files, working_dir.c_str()) == 0);
    }
    ALLO_CHECK(posix_spawnattr_init(&attributes) == 0);
    sigset_t signals;
    sigemptyset(&signals);
    ALLO_CHECK(posix_spawnattr_setsigmask(&attributes, &signals) == 0);
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) {
      sigaddset(&signals, signal);
    }
    ALLO_CHECK(posix_spawnattr_setsigdefault(&attributes, &signals) == 0);
    ALLO_CHECK(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                         POSIX_SPAWN_SETSIGDEF) == 0);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainerProcess>> TrainerProcess::Start(
    const launch::Command& command, const std::string& log_path, const std::string& mark) {
  const int log_fd = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_fd < 0) return ErrnoStatus(log_path, "open");
  int input[2];
  if (pipe2(input, O_CLOEXEC) != 0) {
    const absl::Status status = ErrnoStatus(log_path, "make a pipe for the trainer of");
    close(log_fd);
    return status;
  }
  // Only the writing end: a trainer that does not read must not stop the agent.
  fcntl(input[1], F_SETFL, O_NONBLOCK);

  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = launch::EnvironmentOf(command);
  const SpawnSettings settings(input[0], log_fd, command.working_dir);
  pid_t pid = 0;
  errno = posix_spawnp(&pid, arguments[0].c_str(), &settings.files, &settings.attributes,
                       launch::Pointers(arguments).data(), launch::Pointers(environment).data());
  const absl::Status spawned =
      errno == 0 ? absl::OkStatus() : ErrnoStatus(absl::StrJoin(arguments, " "), "start");
  close(input[0]);
  close(log_fd);
  if (!spawned.ok()) {
    close(input[1]);
    return spawned;
  }
  return std::unique_ptr<TrainerProcess>(
      new TrainerProcess(pid, input[1], mark, command.is_supervised));
}

TrainerProcess::~TrainerProcess() {
  if (!Gone()) {
    Kill();
    if (is_supervised_) {
      while (Clock::Real().BootNanos() < supervised_ns_ && !Exited()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      KillMarked();
    }
    while (!waited_ && waitpid(pid_, &wait_status_, 0) < 0 && errno == EINTR) {
    }
    children_.erase(pid_);
    launch::SignalProcessesWithEnvironment(mark_, SIGKILL);
  }
  CloseInput();
}

bool TrainerProcess::WriteLine(absl::string_view line) {
  const std::string text = absl::StrCat(line, "\n");
  ALLO_CHECK(text.size() <= 512) << text;  // POSIX: a pipe takes this much as a whole
  // SIGPIPE is ignored in the agent's process (main).
  return write(input_fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

void TrainerProcess::Terminate() {
  if (waited_ || kill_at_ns_ != 0) return;
  kill(pid_, SIGTERM);
  kill_at_ns_ = Clock::Real().BootNanos() + kTermToKillNs;
}

void TrainerProcess::Kill() {
  if (!is_supervised_) return KillMarked();
  if (supervised_ns_ != 0) return;
  WriteLine("kill");
  CloseInput();
  supervised_ns_ = Clock::Real().BootNanos() + kSupervisorNs;
}

void TrainerProcess::KillMarked() {
  if (!waited_) kill(pid_, SIGKILL);
  launch::SignalProcessesWithEnvironment(mark_, SIGKILL);
}

void TrainerProcess::CloseInput() {
  if (input_fd_ >= 0) close(std::exchange(input_fd_, -1));
}

bool TrainerProcess::Exited() {
  if (!waited_) {
    const pid_t waited = waitpid(pid_, &wait_status_, WNOHANG);
    ALLO_CHECK(waited >= 0 || errno == EINTR) << "waitpid " << pid_ << ": " << std::strerror(errno);
    waited_ = waited == pid_;
    if (waited_) children_.erase(pid_);
  }
  return waited_;
}

bool TrainerProcess::Gone() {
  if (gone_) return true;
  const int64_t now_ns = Clock::Real().BootNanos();
  if (kill_at_ns_ != 0 && now_ns >= kill_at_ns_) Kill();
  if (supervised_ns_ != 0 && now_ns >= supervised_ns_) KillMarked();
  // Ranks outlive an mpirun that was killed.
  if (Exited()) gone_ = launch::SignalProcessesWithEnvironment(mark_, SIGKILL) == 0;
  return gone_;
}

}  // namespace allometry::agent
