// An agent's id, made from its secret.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace allometry::transport {

// A UUID (RFC 4122, version 4 in form) from the SHA-256 of the secret: from the id nobody comes to
// the secret. Stored: do not change.
std::string AgentIdOf(absl::string_view secret);

}  // namespace allometry::transport
