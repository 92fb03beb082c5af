// UTF-8, as far as reports need it: JSON must not carry anything else.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace allometry::fitting {

// Valid UTF-8 (RFC 3629: no surrogates, no overlong forms) without NUL.
bool ValidUtf8(absl::string_view text);
// At most `bytes` of valid UTF-8 text, cut between characters.
std::string SafePrefix(absl::string_view text, size_t bytes);

}  // namespace allometry::fitting
