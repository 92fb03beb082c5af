#include "worker/agent/exit_verdict.h"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "worker/launch/failure_line.h"

namespace allometry::agent {
namespace {

using run::ExitReason;

constexpr int64_t kTailBytes = 4096;

// The signal that ended the trainer or one of its ranks; 0: none.
int SignalOf(int wait_status) {
  if (WIFSIGNALED(wait_status)) return WTERMSIG(wait_status);
  const int code = WEXITSTATUS(wait_status);
  return code > 128 && code < 128 + NSIG ? code - 128 : 0;
}

// A program's own fault, and not someone's kill.
bool IsCrash(int signal) {
  return signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGFPE ||
         signal == SIGILL;
}

// The first line is what is shown of it: what happened, and the log's last words.
std::string WithLog(const std::string& what, const std::string& log_tail) {
  const std::string words = launch::FailureLine(log_tail);
  return absl::StrCat(what, words.empty() ? "" : ": ", words, log_tail.empty() ? "" : "\n",
                      log_tail);
}

// Bytes that are no UTF-8 would be refused on the way to the coordinator.
std::string PrintableUtf8(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t length = byte < 0x80                   ? 1
                          : byte >= 0xC2 && byte < 0xE0 ? 2
                          : byte >= 0xE0 && byte < 0xF0 ? 3
                          : byte >= 0xF0 && byte < 0xF5 ? 4
                                                        : 0;
    bool whole = length > 0 && i + length <= text.size();
    for (size_t j = 1; whole && j < length; ++j) {
      whole = (static_cast<unsigned char>(text[i + j]) & 0xC0) == 0x80;
    }
    if (whole && length == 3) {  // overlong forms and surrogates
      const auto second = static_cast<unsigned char>(text[i + 1]);
      whole = !(byte == 0xE0 && second < 0xA0) && !(byte == 0xED && second >= 0xA0);
    } else if (whole && length == 4) {
      const auto second = static_cast<unsigned char>(text[i + 1]);
      whole = !(byte == 0xF0 && second < 0x90) && !(byte == 0xF4 && second >= 0x90);
    }
    if (!whole || (length == 1 && byte < 0x20 && byte != '\n' && byte != '\t')) {
      out += '?';
      ++i;
    } else {
      out.append(text.data() + i, length);
      i += length;
    }
  }
  return out;
}

// The file with a line "oom_kill N" for this process's memory cgroup.
std::string OomKillFile() {
  const absl::StatusOr<std::string> cgroups = ReadFile("/proc/self/cgroup");
  if (!cgroups.ok()) return "";
  for (const absl::string_view line : absl::StrSplit(*cgroups, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    // Inside a container the path may be the host's: the mount's own root stands for it then.
    for (const std::string& path : {fields[2], std::string()}) {
      const std::string file =
          fields[1].empty() ? absl::StrCat("/sys/fs/cgroup", path, "/memory.events")
          : fields[1] == "memory"
              ? absl::StrCat("/sys/fs/cgroup/memory", path, "/memory.oom_control")
              : "";
      if (!file.empty() && ReadFile(file).ok()) return file;
    }
  }
  return "";
}

int64_t ReadOomKills(const std::string& path) {
  if (path.empty()) return 0;
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    int64_t count = 0;
    if (absl::ConsumePrefix(&line, "oom_kill ") && absl::SimpleAtoi(line, &count)) return count;
  }
  return 0;
}

}  // namespace

run::ExitRecord JudgeExit(int wait_status, EndedBy ended_by, bool oom_kill,
                          const std::string& log_tail, const std::string& why) {
  switch (ended_by) {
    case EndedBy::kLease:
      return {ExitReason::kLeaseLost, "the lease ran out; ended by the agent", 0};
    case EndedBy::kPreempt:
      return {ExitReason::kPreempted, "killed before its checkpoint was written", 0};
    case EndedBy::kCancel:
      return {ExitReason::kCancelledByUser, "killed before its checkpoint was written", 0};
    case EndedBy::kStalled:
      return {ExitReason::kStalled, WithLog(why + "; ended by its agent", log_tail), 0};
    case EndedBy::kItself:
      break;
  }
  if (const int signal = SignalOf(wait_status); signal != 0) {
    if (signal == SIGKILL && oom_kill) {
      return {ExitReason::kOom, WithLog("killed by the kernel for memory", log_tail), 0};
    }
    return {IsCrash(signal) ? ExitReason::kBug : ExitReason::kKilled,
            WithLog(absl::StrCat("signal ", signal, " (", strsignal(signal), ")"), log_tail), 0};
  }
  const int code = WEXITSTATUS(wait_status);
  if (code == 0) {
    return {ExitReason::kBug, WithLog("ended with code 0 and without an exit record", log_tail), 0};
  }
  return {run::ReasonOfProcessExitCode(code),
          WithLog(absl::StrCat("ended with code ", code), log_tail), 0};
}

bool WasKilled(int wait_status) {
  const int signal = SignalOf(wait_status);
  return signal != 0 && !IsCrash(signal);
}

std::string LogTail(const std::string& path, int lines) {
  // A pipe in its place would be waited for.
  if (std::error_code error; !std::filesystem::is_regular_file(path, error)) return "";
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const int64_t size = file.tellg();
  const int64_t bytes = std::min(size, kTailBytes);
  std::string tail(static_cast<size_t>(bytes), '\0');
  file.seekg(size - bytes);
  if (!file.read(tail.data(), bytes)) return "";
  std::vector<absl::string_view> all =
      absl::StrSplit(absl::StripTrailingAsciiWhitespace(tail), '\n');
  if (all.size() > static_cast<size_t>(lines)) all.erase(all.begin(), all.end() - lines);
  return PrintableUtf8(absl::StrJoin(all, "\n"));
}

OomKills::OomKills() : path_(OomKillFile()), taken_(ReadOomKills(path_)) {}

bool OomKills::TakeOne() {
  if (ReadOomKills(path_) <= taken_) return false;
  ++taken_;
  return true;
}

}  // namespace allometry::agent
