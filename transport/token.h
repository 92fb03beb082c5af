// Tokens: the secret that a coordinator on TCP and its clients share, in a file.
//
// Every line of the file is a token. A coordinator takes all of them, a client brings the first: to
// change a token without an interruption put the new one on the first line, and take the old one
// away when every client has the new file. Empty lines do not count.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::transport {

// At least one. InvalidArgument, naming the file and the line and never what it holds: no token,
// fewer than 16 or more than 256 characters, a character that is not printable ASCII, more than 8
// lines. PermissionDenied: other users may read the file.
absl::StatusOr<std::vector<std::string>> ReadTokens(const std::string& path);

// Makes the file with a random token, mode 0600, where it is missing.
absl::Status MakeTokenFile(const std::string& path);

// True when both are equal; takes the same time wherever they differ.
bool EqualInConstantTime(absl::string_view secret, absl::string_view offered);

}  // namespace allometry::transport
