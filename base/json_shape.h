// Limits of a JSON text, checked before it is parsed: parsers and what walks their trees recurse
// once a level, and a value takes some tens of bytes of memory however short its text is.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"

namespace allometry {

struct JsonLimits {
  size_t bytes = size_t{16} << 20;
  int depth = 64;  // lists and objects within each other
  int64_t values = 4'000'000;
};

// InvalidArgument says which limit the text exceeds, by how much, and for the depth at which byte.
// Says nothing about whether it is JSON.
absl::Status CheckJsonShape(absl::string_view text, const JsonLimits& limits = {});

}  // namespace allometry
