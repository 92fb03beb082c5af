// Where a supervisor hears from the agent. The launcher brings standard input to its first process
// alone; that one repeats the lines in a file of the attempt, ATTEMPT_DIR/lease, where those of
// other hosts and devices read them.
#pragma once

#include <string>

#include "base/status.h"

namespace allometry::supervisor {

// Adds a line to the file. Lines are only ever added, and the file is opened anew for each: then a
// network file system shows them to whoever opens it later.
absl::Status RepeatLine(const std::string& attempt_dir, absl::string_view line);

// A pipe that brings the file's lines as they come, by a thread of its own: a file system that does
// not answer must not keep the lease from ending.
absl::StatusOr<int> FollowLines(const std::string& attempt_dir);

}  // namespace allometry::supervisor
