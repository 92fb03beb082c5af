// The words for laws; the table is that of fitting/law/law.h.
#pragma once

#include <string>

#include "base/status.h"
#include "fitting/data/options.h"

namespace allometry::fitting {

// The row of that name; INVALID_ARGUMENT, with the names allowed, for any other.
absl::StatusOr<LawKind> ParseLaw(absl::string_view name);
std::string Name(LawKind law);
// "standard, coupled, ...".
std::string LawNames();

}  // namespace allometry::fitting
