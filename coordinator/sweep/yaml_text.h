// Reads a file of one YAML document, with checks of its text that yaml-cpp does not make.
#pragma once

#include "absl/functional/function_ref.h"
#include "coordinator/sweep/mistakes.h"

namespace YAML {
class Node;
}

namespace allometry::sweep {

// Calls `read` on the root of `yaml` if it is one document of text, not empty, of at most 1 MiB.
// `expected` says, for the message, what an empty file should hold. A YAML::Exception out of `read`
// is a mistake in its line. Returns mistakes.ToStatus().
absl::Status ReadDocument(absl::string_view yaml, absl::string_view expected, Mistakes& mistakes,
                          absl::FunctionRef<void(const YAML::Node& root)> read);

}  // namespace allometry::sweep
