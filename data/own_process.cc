#include "data/own_process.h"

#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace allometry::data {
namespace {

[[noreturn]] void Tell(const std::function<std::string()>& work, int to) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  try {
    const std::string text = work();
    for (absl::string_view left = text; !left.empty();) {
      const ssize_t written = write(to, left.data(), left.size());
      if (written < 0 && errno != EINTR) _exit(1);
      if (written > 0) left.remove_prefix(static_cast<size_t>(written));
    }
    _exit(0);
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    _exit(1);
  }
}

}  // namespace

absl::StatusOr<std::string> InItsOwnProcess(absl::string_view what,
                                            const std::function<std::string()>& work) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "make");
  const pid_t child = fork();
  if (child == 0) Tell(work, ends[1]);
  close(ends[1]);
  std::string text;
  for (char buffer[4096];;) {
    const ssize_t got = child < 0 ? 0 : read(ends[0], buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  close(ends[0]);
  if (child < 0) return ErrnoStatus("process", "start");
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    return absl::DataLossError(absl::StrCat(what, " ended with signal ", WTERMSIG(status), " (",
                                            strsignal(WTERMSIG(status)),
                                            "): the file is damaged, or made to do harm"));
  }
  if (status != 0) return absl::InternalError(absl::StrCat(what, " did not end well"));
  return text;
}

}  // namespace allometry::data
