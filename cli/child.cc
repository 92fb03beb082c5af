#include "cli/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace allometry::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMostErrors = 4000;  // characters

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::string> Environment(const std::vector<std::string>& over) {
  std::map<std::string, std::string> variables;
  const auto add = [&](const std::string& entry) {
    const size_t equals = entry.find('=');
    if (equals != entry.npos) variables[entry.substr(0, equals)] = entry;
  };
  for (char** entry = environ; *entry != nullptr; ++entry) add(*entry);
  for (const std::string& entry : over) add(entry);
  std::vector<std::string> list;
  for (const auto& [name, entry] : variables) list.push_back(entry);
  return list;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// One started program: its output is read from a pipe, its errors lie in a file.
struct Child {
  pid_t pid = -1;
  int output = -1;
  Clock::time_point started;
  bool ended = false;
  std::string errors_file;
};

absl::Status Start(const ChildProgram& program, Child* child) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(program.arguments[0], "pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, child->errors_file.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::vector<std::string> arguments = program.arguments;
  std::vector<std::string> environment = Environment(program.environment);
  // A session each, as an agent's trainers have: Linux shares a busy CPU between sessions
  // (sched_autogroup), so together in ours they would be measured at a fraction of their later
  // pace.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  child->started = Clock::now();
  const int error = posix_spawnp(&child->pid, arguments[0].c_str(), &actions, &attributes,
                                 Pointers(arguments).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(ends[1]);
  child->output = ends[0];
  if (error == 0) return absl::OkStatus();
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

std::string FolderOfThisProgram() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

absl::StatusOr<std::vector<ChildResult>> RunTogether(const std::vector<ChildProgram>& programs,
                                                     const std::string& scratch, double timeout_s) {
  std::vector<Child> children(programs.size());
  std::vector<ChildResult> results(programs.size());
  absl::Status started;
  for (size_t i = 0; i < programs.size() && started.ok(); ++i) {
    children[i].errors_file = absl::StrCat(scratch, "/errors-", i);
    started = Start(programs[i], &children[i]);
  }
  const Clock::time_point begin = Clock::now();
  for (;;) {
    const bool kill_all = !started.ok() || SecondsSince(begin) > timeout_s;
    std::vector<struct pollfd> waits;
    std::vector<size_t> of;
    for (size_t i = 0; i < children.size(); ++i) {
      if (children[i].pid < 0 || children[i].ended) continue;
      if (kill_all) {
        kill(children[i].pid, SIGKILL);
        results[i].timed_out = true;
      }
      waits.push_back({children[i].output, POLLIN, 0});
      of.push_back(i);
    }
    if (waits.empty()) break;
    if (poll(waits.data(), waits.size(), 200) <= 0) continue;
    for (size_t k = 0; k < waits.size(); ++k) {
      if (waits[k].revents == 0) continue;
      if (!ReadSome(waits[k].fd, &results[of[k]].output)) Reap(children[of[k]], results[of[k]]);
    }
  }
  for (const Child& child : children) {
    if (child.pid < 0 && child.output >= 0) close(child.output);
  }
  ALLO_RETURN_IF_ERROR(started);
  return results;
}

}  // namespace allometry::cli
