#include "data/made_dataset.h"

#include <cstddef>

#include "absl/strings/str_cat.h"

namespace allometry::data {

std::string Grouped(int64_t number) {
  std::string digits = absl::StrCat(number);
  for (auto at = static_cast<ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

std::string Counted(int64_t number, absl::string_view word) {
  return absl::StrCat(Grouped(number), " ", word, number == 1 ? "" : "s");
}

}  // namespace allometry::data
