// "Did you mean ...?"
#pragma once

#include <vector>

#include "absl/strings/string_view.h"

namespace allometry {

// The known word that differs from `word` by one typing mistake: a letter added, missing or wrong,
// or two exchanged; in long words by two or three. Empty if there is none.
absl::string_view NearestWord(absl::string_view word, const std::vector<absl::string_view>& known);

}  // namespace allometry
