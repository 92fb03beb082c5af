#include "worker/supervisor/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/boot_id.h"
#include "base/clock.h"
#include "base/files.h"
#include "run/exit_reason.h"
#include "run/lease_line.h"
#include "worker/launch/descendants.h"
#include "worker/supervisor/lease_lines.h"

namespace allometry::supervisor {
namespace {

constexpr int64_t kMs = 1'000'000;  // nanoseconds
// For the command to end by itself once its lease is over or its agent gone.
constexpr int64_t kToEndNs = 1'000 * kMs;
// From SIGTERM to SIGKILL. An agent's next life, srun and mpirun wait for 2 s or more.
constexpr int64_t kTermToKillNs = 1'500 * kMs;
// Until the first line reaches another process than the first.
constexpr int64_t kFirstLineNs = 120'000 * kMs;
// For what does not end after SIGKILL: another user's, or one on a dead file system.
constexpr int64_t kPatienceNs = 30'000 * kMs;
constexpr int kLookMs = 100;
constexpr size_t kLongestLine = 512;

constexpr int kSignals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD};

int64_t Now() { return Clock::Real().BootNanos(); }

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : kSignals) sigaddset(&signals, signal);
  return signals;
}

}  // namespace

absl::StatusOr<int> Supervisor::Run() {
  ALLO_ASSIGN_OR_RETURN(const launch::StartPlan plan, launch::ReadStartPlan(attempt_dir_));
  ALLO_ASSIGN_OR_RETURN(const launch::Command command, launch::CommandOf(plan, rank_));
  launch::BecomeSubreaper();
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = Signals();
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signals_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) return ErrnoStatus("signalfd", "open");
  ALLO_RETURN_IF_ERROR(Start(command));
  if (rank_ == 0) {
    lines_ = STDIN_FILENO;
    repeats_ = plan.processes.size() > 1;
  } else {
    lease_end_ns_ = Now() + kFirstLineNs;
    const absl::StatusOr<int> lines = FollowLines(attempt_dir_);
    lines_ = lines.value_or(-1);
    if (!lines.ok()) KillAt(Now());
  }
  Loop();
  WriteLeftBehind();
  EndAll();
  return WIFEXITED(wait_status_) ? WEXITSTATUS(wait_status_) : 128 + WTERMSIG(wait_status_);
}

// fork and not posix_spawn, which cannot have the kernel end the command with this process. There
// is one thread yet.
absl::Status Supervisor::Start(const launch::Command& command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(command.arguments[0], "make a pipe for");
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = launch::EnvironmentOf(command);
  const std::vector<char*> argv = launch::Pointers(arguments), envp = launch::Pointers(environment);
  const pid_t parent = getpid();
  command_ = fork();
  if (command_ < 0) return ErrnoStatus(command.arguments[0], "start");
  if (command_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(run::ProcessExitCode(run::ExitReason::kBug));
    setsid();
    sigset_t none;
    sigemptyset(&none);
    for (const int signal : kSignals) std::signal(signal, SIG_DFL);
    std::signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (dup2(ends[0], STDIN_FILENO) == STDIN_FILENO && chdir(command.working_dir.c_str()) == 0) {
      execve(argv[0], argv.data(), envp.data());
    }
    std::cerr << "cannot start " << argv[0] << ": " << std::strerror(errno) << std::endl;
    _exit(run::ProcessExitCode(run::ExitReason::kBug));
  }
  close(ends[0]);
  input_ = ends[1];
  // A command that does not read must not stop what watches over it.
  fcntl(input_, F_SETFL, O_NONBLOCK);
  return absl::OkStatus();
}

void Supervisor::Loop() {
  while (!ended_) {
    pollfd waits[] = {{signals_, POLLIN, 0}, {lines_, POLLIN, 0}};  // poll passes over -1
    poll(waits, 2, kLookMs);
    if (waits[0].revents != 0) OnSignals();
    if (waits[1].revents != 0) ReadLines();
    HandOn();
    const int64_t now_ns = Now();
    if (lease_end_ns_ != 0 && now_ns >= lease_end_ns_) KillAt(lease_end_ns_ + kToEndNs);
    if (kill_at_ns_ != 0 && now_ns >= kill_at_ns_) {
      launch::SignalDescendants(getpid(), SIGKILL);
    }
    Reap();
  }
}

void Supervisor::KillAt(int64_t at_ns) {
  kill_at_ns_ = kill_at_ns_ == 0 ? at_ns : std::min(kill_at_ns_, at_ns);
}

void Supervisor::ReadLines() {
  char text[4096];
  const ssize_t got = read(lines_, text, sizeof(text));
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) return OnLinesEnd();
  unread_.append(text, static_cast<size_t>(got));
  size_t begin = 0;
  for (size_t end = 0; (end = unread_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    OnLine(absl::string_view(unread_).substr(begin, end - begin));
  }
  unread_.erase(0, begin);
  if (unread_.size() > kLongestLine) unread_.clear();  // no line of ours
}

void Supervisor::OnLine(absl::string_view line) {
  if (line == "kill") {
    KillAt(Now());
  } else if (line == "preempt" || line == "cancel") {
    absl::StrAppend(&words_, line, "\n");
    // What cannot be repeated is missed by the others alone: their lease still ends.
    if (repeats_) RepeatLine(attempt_dir_, line).IgnoreError();
  } else {
    OnLease(line, Now());
  }
}

void Supervisor::OnLease(absl::string_view line, int64_t now_ns) {
  const auto lease = run::ParseLeaseLine(line);
  if (!lease.has_value()) return;
  lease_end_ns_ = lease->boot_id == BootId() ? lease->deadline_ns : now_ns + lease->left_ms * kMs;
  const int64_t asked_ns =
      std::max<int64_t>(0, lease_end_ns_ - (lease->deadline_ns - lease->asked_ns));
  // In this host's clock, which is the command's.
  lease_line_ = run::WriteLeaseLine(asked_ns, std::max(asked_ns, lease_end_ns_), now_ns) + "\n";
  if (repeats_) {
    RepeatLine(attempt_dir_, lease_line_.substr(0, lease_line_.size() - 1)).IgnoreError();
  }
}

void Supervisor::OnLinesEnd() {
  lines_ = -1;
  if (input_ >= 0) close(std::exchange(input_, -1));
  KillAt(Now() + kToEndNs);
}

void Supervisor::HandOn() {
  for (std::string* text : {&lease_line_, &words_}) {
    if (input_ < 0 || text->empty()) continue;
    // A pipe takes so short a text wholly or not at all.
    const ssize_t written = write(input_, text->data(), text->size());
    if (written > 0) text->clear();
    if (written < 0 && errno == EPIPE) close(std::exchange(input_, -1));
  }
}

void Supervisor::OnSignals() {
  signalfd_siginfo signal{};
  while (read(signals_, &signal, sizeof(signal)) == sizeof(signal)) {
    switch (signal.ssi_signo) {
      case SIGCHLD:
        break;
      case SIGUSR1:
      case SIGUSR2:
        kill(command_, static_cast<int>(signal.ssi_signo));
        break;
      default:
        launch::SignalDescendants(getpid(), SIGTERM);
        KillAt(Now() + kTermToKillNs);
    }
  }
}

void Supervisor::Reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != command_) continue;
    ended_ = true;
    wait_status_ = status;
  }
}

void Supervisor::WriteLeftBehind() const {
  if (kill_at_ns_ != 0) return;
  std::string left;
  for (const launch::Descendant& process : launch::DescendantsOf(getpid())) {
    if (!process.ended) absl::StrAppend(&left, process.pid, " ", process.name, "\n");
  }
  if (left.empty()) return;
  std::ofstream(attempt_dir_ + "/left-behind", std::ios::app) << left;
}

void Supervisor::EndAll() {
  const int64_t give_up_ns = Now() + kPatienceNs;
  for (;;) {
    launch::SignalDescendants(getpid(), SIGKILL);
    pid_t pid = 0;
    while ((pid = waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    if (pid < 0 && errno == ECHILD) return;
    if (Now() >= give_up_ns) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (const launch::Descendant& process : launch::DescendantsOf(getpid())) {
    std::cerr << "allo-supervisor: process " << process.pid << " (" << process.name
              << ") does not end after SIGKILL" << std::endl;
  }
}

}  // namespace allometry::supervisor
