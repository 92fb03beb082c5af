// Files and folders that no other user of the machine may read.
//
// The long-running programs set their umask to 077, so everything that they make is private; this
// is for what exists already, made by hand or by an earlier version.
#pragma once

#include <string>

#include "base/status.h"

namespace allometry {

// From now on files are made with mode 0600 and folders with 0700, by this process and those that
// it starts.
void MakeFilesPrivate();

// mkdir -p; what it makes has mode 0700.
absl::Status MakePrivateDirectories(const std::string& path);

// Takes the rights of the group and of others away from a file or folder of this user; one of
// another user, or a missing one, stays as it is.
absl::Status TakeFromOthers(const std::string& path);

}  // namespace allometry
