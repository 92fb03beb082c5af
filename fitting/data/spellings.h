// The names under which tables have their columns.
#pragma once

#include "absl/types/span.h"
#include "fitting/data/unit.h"

namespace allometry::fitting {

struct Spelling {
  Role role;
  const char* name;         // words joined, lower case
  bool weak = false;        // HeaderMatch::weak
  const char* policy = "";  // HeaderMatch::params_policy
};

// Sorted by preference within a role.
absl::Span<const Spelling> Spellings();

}  // namespace allometry::fitting
