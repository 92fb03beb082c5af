#include "worker/launch/tmpdir.h"

#include <sys/stat.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace allometry::launch {

absl::Status CheckTmpdir() {
  for (const char* name : {"TMPDIR", "TMP", "TEMP", "TEMPDIR"}) {
    const char* folder = std::getenv(name);
    if (folder == nullptr) continue;
    struct stat info {};
    if (*folder != '\0' && stat(folder, &info) == 0 && S_ISDIR(info.st_mode)) {
      return absl::OkStatus();
    }
    if (*folder == '\0') {
      return absl::FailedPreconditionError(absl::StrCat(name, " is set and names no folder"));
    }
    return absl::FailedPreconditionError(
        absl::StrCat(name, " ", folder, info.st_mode != 0 ? " is no folder" : " does not exist"));
  }
  return absl::OkStatus();
}

}  // namespace allometry::launch
