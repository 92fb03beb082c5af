#include "cli/child.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/files.h"
#include "run/lease_line.h"
#include "worker/launch/processes.h"

namespace allometry::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMostErrors = 4000;  // characters
constexpr size_t kMostOutput = size_t{256} << 20;
constexpr double kGraceS = 60;  // of a lease over what is waited for
constexpr int64_t kTermMs = 2'000, kKillMs = 10'000;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

volatile std::sig_atomic_t received_signal = 0;

void OnSignal(int signal) { received_signal = signal; }

constexpr int kHeld[] = {SIGINT, SIGTERM, SIGHUP};
struct sigaction before[std::size(kHeld)];
int holders = 0;

// One started program: its output is read from a pipe, its errors lie in a file. `input` is where
// its lease is written; it closes when this process ends, however that is.
struct Child {
  pid_t pid = -1;
  int input = -1;
  int output = -1;
  Clock::time_point started;
  bool ended = false;
  std::string errors_file;
};

absl::Status Start(const launch::Command& program, const std::string& mark, double lease_s,
                   Child* child) {
  int ends[2], lease[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(program.arguments[0], "pipe");
  if (pipe2(lease, O_CLOEXEC) != 0) {
    close(ends[0]);
    close(ends[1]);
    return ErrnoStatus(program.arguments[0], "pipe");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, lease[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, child->errors_file.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (!program.working_dir.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, program.working_dir.c_str());
  }
  std::vector<std::string> arguments = program.arguments;
  std::vector<std::string> environment = launch::EnvironmentOf(program);
  environment.push_back(mark);
  // A session each, as an agent's trainers have: Linux shares a busy CPU between sessions
  // (sched_autogroup), so together in ours they would be measured at a fraction of their later
  // pace.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF);
  child->started = Clock::now();
  const int error =
      posix_spawnp(&child->pid, arguments[0].c_str(), &actions, &attributes,
                   launch::Pointers(arguments).data(), launch::Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(ends[1]);
  close(lease[0]);
  child->input = lease[1];
  child->output = ends[0];
  if (error == 0) {
    const int64_t now_ns = allometry::Clock::Real().BootNanos();
    const std::string line =
        run::WriteLeaseLine(now_ns, now_ns + static_cast<int64_t>(lease_s * 1e9), now_ns) + "\n";
    // A pipe takes a line at once. One that has ended already is reaped below.
    if (write(child->input, line.data(), line.size()) < 0) errno = 0;
    return absl::OkStatus();
  }
  child->pid = -1;
  return absl::NotFoundError(
      absl::StrCat("cannot start ", program.arguments[0], ": ", std::strerror(error)));
}

void Reap(Child& child, ChildResult& result) {
  int status = 0;
  while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.seconds = SecondsSince(child.started);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  child.ended = true;
  close(child.input);
  close(child.output);
  const absl::StatusOr<std::string> errors = ReadFile(child.errors_file);
  if (!errors.ok()) return;
  result.errors = errors->substr(errors->size() - std::min(errors->size(), kMostErrors));
}

// Reads what there is; false at the end of file.
bool ReadSome(int output, std::string* text) {
  char buffer[4096];
  const ssize_t got = read(output, buffer, sizeof(buffer));
  if (got > 0) text->append(buffer, static_cast<size_t>(got));
  return got > 0 || (got < 0 && errno == EINTR);
}

}  // namespace

HeldSignals::HeldSignals() {
  if (holders++ > 0) return;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < std::size(kHeld); ++i) {
    sigaction(kHeld[i], nullptr, &before[i]);
    // What this program was started to ignore (nohup) it goes on to ignore.
    if (before[i].sa_handler != SIG_IGN) sigaction(kHeld[i], &action, nullptr);
  }
}

HeldSignals::~HeldSignals() {
  if (--holders > 0) return;
  for (size_t i = 0; i < std::size(kHeld); ++i) sigaction(kHeld[i], &before[i], nullptr);
  const int signal = received_signal;
  received_signal = 0;
  if (signal != 0) raise(signal);
}

bool HeldSignals::received() { return received_signal != 0; }

std::string FolderOfThisProgram() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

absl::StatusOr<std::vector<ChildResult>> RunTogether(const std::vector<launch::Command>& programs,
                                                     const std::string& scratch, double timeout_s) {
  const HeldSignals held;
  // mpirun gives each rank a process group of its own: the mark finds them all.
  const std::string mark = absl::StrCat("ALLOMETRY_MEASURE=", RandomHex128());
  // A child that ends before it read its lease is no reason to end.
  const auto pipe_before = std::signal(SIGPIPE, SIG_IGN);
  std::vector<Child> children(programs.size());
  std::vector<ChildResult> results(programs.size());
  absl::Status ended;
  for (size_t i = 0; i < programs.size() && ended.ok(); ++i) {
    children[i].errors_file = absl::StrCat(scratch, "/errors-", i);
    ended = Start(programs[i], mark, timeout_s + kGraceS, &children[i]);
  }
  const Clock::time_point begin = Clock::now();
  bool killed = false;
  for (;;) {
    const bool timed_out = SecondsSince(begin) > timeout_s;
    if (HeldSignals::received() && ended.ok()) ended = absl::CancelledError("interrupted");
    if ((timed_out || !ended.ok()) && !std::exchange(killed, true)) {
      for (size_t i = 0; i < children.size(); ++i) {
        results[i].timed_out = timed_out && children[i].pid > 0 && !children[i].ended;
      }
      // mpirun removes its own folder when it is asked to end.
      launch::EndProcessesWithEnvironment(mark, kTermMs, kKillMs).IgnoreError();
    }
    std::vector<struct pollfd> waits;
    std::vector<size_t> of;
    for (size_t i = 0; i < children.size(); ++i) {
      if (children[i].pid < 0 || children[i].ended) continue;
      waits.push_back({children[i].output, POLLIN, 0});
      of.push_back(i);
    }
    if (waits.empty()) break;
    if (poll(waits.data(), waits.size(), 200) <= 0) continue;
    for (size_t k = 0; k < waits.size(); ++k) {
      if (waits[k].revents == 0) continue;
      std::string& output = results[of[k]].output;
      if (!ReadSome(waits[k].fd, &output)) Reap(children[of[k]], results[of[k]]);
      if (output.size() > kMostOutput && ended.ok()) {
        ended = absl::ResourceExhaustedError(absl::StrCat(
            programs[of[k]].arguments[0], " printed more than ", kMostOutput >> 20, " MiB"));
      }
    }
  }
  for (const Child& child : children) {
    if (child.pid >= 0 || child.output < 0) continue;
    close(child.input);
    close(child.output);
  }
  std::signal(SIGPIPE, pipe_before);
  ALLO_RETURN_IF_ERROR(ended);
  return results;
}

}  // namespace allometry::cli
