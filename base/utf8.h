// Validation of UTF-8 text.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace allometry {

// Where the first byte lies that is not part of well-formed UTF-8 (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF), or that is a NUL; npos when there is none.
size_t FirstInvalidUtf8(absl::string_view text);

}  // namespace allometry
