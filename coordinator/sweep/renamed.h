// A sweep file under another name.
#pragma once

#include <string>

#include "base/status.h"

namespace allometry::sweep {

// The text with the value of its `name` replaced and everything else as it is, comments included.
// InvalidArgument: `name` is not a sweep's name, or the text is not a sweep file.
absl::StatusOr<std::string> Renamed(absl::string_view yaml, absl::string_view file_name,
                                    const std::string& name);

}  // namespace allometry::sweep
