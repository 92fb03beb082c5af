#include "worker/launch/processes.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/files.h"

namespace allometry::launch {
namespace {

bool HasEnvironment(pid_t pid, absl::string_view assignment) {
  // Unreadable: another user's, a zombie's, or gone.
  const absl::StatusOr<std::string> environment = ReadFile(absl::StrCat("/proc/", pid, "/environ"));
  if (!environment.ok()) return false;
  for (const absl::string_view entry : absl::StrSplit(*environment, '\0')) {
    if (entry == assignment) return true;
  }
  return false;
}

}  // namespace

std::vector<pid_t> ProcessesWithEnvironment(absl::string_view assignment) {
  std::vector<pid_t> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end;
       it.increment(error)) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(it->path().filename().string(), &pid) && pid != getpid() &&
        HasEnvironment(pid, assignment)) {
      found.push_back(pid);
    }
  }
  return found;
}

int SignalProcessesWithEnvironment(absl::string_view assignment, int signal) {
  int count = 0;
  for (const pid_t pid : ProcessesWithEnvironment(assignment)) {
    const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    if (handle < 0) continue;
    if (HasEnvironment(pid, assignment)) {
      ++count;
      syscall(SYS_pidfd_send_signal, handle, signal, nullptr, 0);
    }
    close(handle);
  }
  return count;
}

absl::Status EndProcessesWithEnvironment(absl::string_view assignment, int64_t grace_ms,
                                         int64_t patience_ms) {
  if (SignalProcessesWithEnvironment(assignment, SIGTERM) == 0) return absl::OkStatus();
  const Clock& clock = Clock::Real();
  const int64_t kill_at_ns = clock.BootNanos() + grace_ms * 1'000'000;
  for (;;) {
    const int64_t now_ns = clock.BootNanos();
    const std::vector<pid_t> left = ProcessesWithEnvironment(assignment);
    if (left.empty()) return absl::OkStatus();
    if (now_ns > kill_at_ns + patience_ms * 1'000'000) {
      return absl::DeadlineExceededError(
          absl::StrCat("process ", left[0], " (", assignment, ") does not end after SIGKILL"));
    }
    if (now_ns >= kill_at_ns) SignalProcessesWithEnvironment(assignment, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace allometry::launch
