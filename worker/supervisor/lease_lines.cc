#include "worker/supervisor/lease_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace allometry::supervisor {
namespace {

constexpr std::chrono::milliseconds kLookEvery{300};

std::string LinesPath(const std::string& attempt_dir) { return attempt_dir + "/lease"; }

[[noreturn]] void Follow(const std::string& path, int pipe) {
  off_t done = 0;
  for (;; std::this_thread::sleep_for(kLookEvery)) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;  // not there yet
    char text[4096];
    ssize_t got = 0;
    while ((got = pread(file, text, sizeof(text), done)) > 0) {
      // A part of a line is the reader's to put together.
      if (write(pipe, text, static_cast<size_t>(got)) == got) done += got;
    }
    close(file);
  }
}

}  // namespace

absl::Status RepeatLine(const std::string& attempt_dir, absl::string_view line) {
  const std::string path = LinesPath(attempt_dir);
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return ErrnoStatus(path, "open");
  const std::string text = absl::StrCat(line, "\n");
  const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const absl::Status status = written ? absl::OkStatus() : ErrnoStatus(path, "write");
  close(file);
  return status;
}

absl::StatusOr<int> FollowLines(const std::string& attempt_dir) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(LinesPath(attempt_dir), "make a pipe for");
  std::thread(Follow, LinesPath(attempt_dir), ends[1]).detach();
  return ends[0];
}

}  // namespace allometry::supervisor
