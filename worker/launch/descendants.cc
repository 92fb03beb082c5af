#include "worker/launch/descendants.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"

namespace allometry::launch {
namespace {

// "PID (NAME) STATE PPID ..."; the name may hold spaces and brackets. The start is field 22.
std::optional<Descendant> ReadStat(pid_t pid) {
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!text.ok()) return std::nullopt;  // gone
  const size_t open = text->find('('), close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(*text).substr(close + 1), ' ', absl::SkipEmpty());
  Descendant process;
  process.pid = pid;
  process.name = text->substr(open + 1, close - open - 1);
  if (fields.size() < 20 || !absl::SimpleAtoi(fields[1], &process.parent) ||
      !absl::SimpleAtoi(fields[19], &process.started)) {
    return std::nullopt;
  }
  process.ended = fields[0] == "Z" || fields[0] == "X";
  return process;
}

// False: it had ended.
bool Signal(const Descendant& process, int signal) {
  if (process.ended) return false;
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
  if (handle < 0) return false;
  const auto now = ReadStat(process.pid);
  const bool same = now && now->started == process.started;
  if (same) syscall(SYS_pidfd_send_signal, handle, signal, nullptr, 0);
  close(handle);
  return same;
}

}  // namespace

bool BecomeSubreaper() {
  const bool alone = getpid() != 1 && DescendantsOf(getpid()).empty();
  return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 && alone;
}

std::vector<Descendant> DescendantsOf(pid_t root) {
  std::multimap<pid_t, Descendant> by_parent;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end;
       it.increment(error)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(it->path().filename().string(), &pid)) continue;
    if (auto process = ReadStat(pid)) by_parent.emplace(process->parent, *std::move(process));
  }
  std::vector<Descendant> found;
  const auto add_children = [&](pid_t parent) {
    const auto [begin, end] = by_parent.equal_range(parent);
    for (auto child = begin; child != end; ++child) found.push_back(child->second);
    by_parent.erase(begin, end);
  };
  add_children(root);
  for (size_t i = 0; i < found.size(); ++i) add_children(found[i].pid);
  return found;
}

int SignalDescendants(pid_t root, int signal) {
  int count = 0;
  for (const Descendant& process : DescendantsOf(root)) count += Signal(process, signal);
  return count;
}

int EndAdopted(const std::set<pid_t>& own, bool may_kill) {
  int left = 0;
  for (const Descendant& child : DescendantsOf(getpid())) {
    if (child.parent != getpid() || own.count(child.pid) > 0) continue;
    if (may_kill) {
      SignalDescendants(child.pid, SIGKILL);
      Signal(child, SIGKILL);
    }
    const bool waited = waitpid(child.pid, nullptr, WNOHANG) == child.pid;
    left += may_kill && !waited;
  }
  return left;
}

}  // namespace allometry::launch
