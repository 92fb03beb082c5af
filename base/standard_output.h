// The end of a program that prints: what it printed must have been written.
#pragma once

#include "absl/strings/string_view.h"

namespace allometry {

// Flushes standard output. Returns `code`, or 1 after a sentence on standard error where something
// could not be written (a full disk, a closed pipe) and `code` was 0: a script must not go on with
// half of an answer.
int EndOutput(absl::string_view program, int code);

}  // namespace allometry
