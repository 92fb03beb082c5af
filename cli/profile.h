// Named settings of `allo`, so that nobody types addresses: $XDG_CONFIG_HOME/allometry.toml,
// without the variable ~/.config/allometry.toml.
//
//   profile = "lab"            # where neither --using nor ALLO_PROFILE names one
//   [lab]
//   coordinator = "gpu1:7070"
//   token_file = "/home/me/.config/lab.token"
//   tls_ca = "/etc/ssl/lab.pem"
//   data_dir = "/data/allometry"
//
// An option counts before a variable of the environment, that before the profile, that before the
// default.
#pragma once

#include <string>

#include "base/status.h"

namespace allometry::cli {

struct Profile {
  std::string name;  // "": none
  std::string coordinator, token_file, tls_ca, data_dir;
};

// Where the file is looked for.
std::string ProfileFile();

// The profile of that name, or the file's own choice where `name` is "". No file and no name: an
// empty profile. INVALID_ARGUMENT, with what is allowed: a name that the file has not, a key that
// no profile has, text that is not TOML. NOT_FOUND: a name without a file.
absl::StatusOr<Profile> ReadProfile(const std::string& file, const std::string& name);

}  // namespace allometry::cli
