// The one line of a failed program's log that is worth showing.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace allometry::launch {

// The last line of `log` that has a word in it, without what stands around it, at most 300 bytes;
// empty where there is none. Open MPI ends every failed job with a notice between lines of dashes
// that says less than the program did: a line outside of such notices goes first; where there is
// none, the first line of the last notice.
std::string FailureLine(absl::string_view log);

}  // namespace allometry::launch
