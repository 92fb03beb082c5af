// "Did you mean ...?"
#pragma once

#include <vector>

#include "absl/strings/string_view.h"

namespace allometry {

// The known word that is a slip of the hand away from `word`: a letter too much, missing or wrong,
// two exchanged; two or three such in long words. Empty where none is.
absl::string_view NearestWord(absl::string_view word, const std::vector<absl::string_view>& known);

}  // namespace allometry
