// A disk of some MiB for one process, to be filled.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace allometry::testing {

// Mounts it at `folder`, for this process and its children alone: call it in a child that has one
// thread. False where the system does not allow that; then a test skips with this reason.
inline constexpr char kNoSmallDisk[] = "this process may not mount a small disk of its own";
inline bool MountSmallDisk(const std::string& folder, const std::string& size = "2m") {
  const std::string user = absl::StrCat("0 ", getuid(), " 1"),
                    group = absl::StrCat("0 ", getgid(), " 1");
  const auto write_to = [](const char* path, const std::string& text) {
    const int fd = open(path, O_WRONLY);
    const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    close(fd);
    return written;
  };
  return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_to("/proc/self/setgroups", "deny") &&
         write_to("/proc/self/uid_map", user) && write_to("/proc/self/gid_map", group) &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", folder.c_str(), "tmpfs", 0, absl::StrCat("size=", size).c_str()) == 0;
}

inline bool ResizeSmallDisk(const std::string& folder, const std::string& size) {
  return mount("tmpfs", folder.c_str(), "tmpfs", MS_REMOUNT, absl::StrCat("size=", size).c_str()) ==
         0;
}

}  // namespace allometry::testing
