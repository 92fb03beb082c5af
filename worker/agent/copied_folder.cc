#include "worker/agent/copied_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "base/files.h"

namespace allometry::agent {

absl::Status RefuseCopiedFolder(const std::string& what, const std::string& identity_file,
                                const std::string& files_of_the_original) {
  struct stat status {};
  if (stat(identity_file.c_str(), &status) != 0) return ErrnoStatus(identity_file, "look at");
  const std::string place = identity_file + ".place";
  const std::string inode = absl::StrCat(status.st_ino);
  const std::string changed = absl::StrCat(status.st_ctim.tv_sec, ".", status.st_ctim.tv_nsec);
  const absl::StatusOr<std::string> remembered = ReadFile(place);
  if (absl::IsNotFound(remembered.status())) {
    return WriteFileAtomically(place, absl::StrCat(inode, " ", changed, "\n"));
  }
  ALLO_RETURN_IF_ERROR(remembered.status());
  const std::vector<std::string> parts =
      absl::StrSplit(absl::StripAsciiWhitespace(*remembered), ' ');
  if (parts.size() != 2) {
    return absl::DataLossError(absl::StrCat(place, " is damaged: remove it"));
  }
  if (parts[0] == inode || parts[1] == changed) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      what,
      " is a copy of another one, or was moved to another disk, and two with one identity end "
      "each other's work: if the original is gone, 'rm ",
      place, "'; otherwise 'rm -f ", identity_file, " ", place,
      files_of_the_original.empty() ? "" : " ", files_of_the_original,
      "' for an identity of its own"));
}

}  // namespace allometry::agent
