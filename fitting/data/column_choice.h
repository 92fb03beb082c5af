// Which column is N, D, C and the loss.
#pragma once

#include <string>

#include "fitting/data/layout.h"

namespace allometry::fitting {

// Fills layout.at, counts and notes from the header and the sample. INVALID_ARGUMENT as FindLayout.
absl::Status ChooseColumns(const CsvSample& sample, const CsvOptions& options, TableLayout& layout);

// "N=M" into quantity and text; without '=' the quantity is `otherwise`. INVALID_ARGUMENT names
// --`option`.
struct Assignment {
  Role role = Role::kRoles;
  std::string text;
};
absl::StatusOr<Assignment> ParseAssignment(const char* option, absl::string_view text,
                                           Role otherwise);

}  // namespace allometry::fitting
