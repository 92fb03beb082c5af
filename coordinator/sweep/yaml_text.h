// A file of one YAML document, with what yaml-cpp leaves unsaid about its text.
#pragma once

#include "absl/functional/function_ref.h"
#include "coordinator/sweep/mistakes.h"

namespace YAML {
class Node;
}

namespace allometry::sweep {

// Has `read` read the root of `yaml` when it is one document of text, of at most 1 MiB, that is not
// empty (`expected` says with what it is to be filled). A YAML::Exception out of `read` is a
// mistake in its line. The answer is mistakes.ToStatus().
absl::Status ReadDocument(absl::string_view yaml, absl::string_view expected, Mistakes& mistakes,
                          absl::FunctionRef<void(const YAML::Node& root)> read);

}  // namespace allometry::sweep
