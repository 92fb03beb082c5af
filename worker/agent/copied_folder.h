// Whether a folder with an identity was copied.
//
// A copy of a state directory or a run root has the same identity as the original, and two programs
// with one identity end each other's work. So the file with the identity is remembered by its inode
// and the time of its last change; a copy has others. (A file system that renumbers its inodes at
// every mount keeps the time.)
#pragma once

#include <string>

#include "base/status.h"

namespace allometry::agent {

// Remembers `identity_file` in "IDENTITY_FILE.place" at first use. FailedPrecondition where it is
// not the file that was remembered: says that `what` (for example "state dir w") is a copy, and
// which files to remove for an identity of its own, those in `files_of_the_original` too.
absl::Status RefuseCopiedFolder(const std::string& what, const std::string& identity_file,
                                const std::string& files_of_the_original = "");

}  // namespace allometry::agent
