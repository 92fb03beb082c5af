#include "base/nearest_word.h"

#include <algorithm>
#include <cstddef>

namespace allometry {
namespace {

// Edits (insert, delete, replace, swap of neighbours) between two words.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = last;
    last = row;
  }
  return last[b.size()];
}

}  // namespace

absl::string_view NearestWord(absl::string_view word, const std::vector<absl::string_view>& known) {
  constexpr size_t kLongest = 40;  // longer ones are near to nothing
  size_t nearest = 1 + std::min<size_t>(word.size() / 4, 2);
  absl::string_view meant;
  if (word.size() > kLongest) return meant;
  for (const absl::string_view candidate : known) {
    const size_t distance = EditDistance(word, candidate);
    if (distance < nearest || (distance == nearest && meant.empty())) {
      nearest = distance;
      meant = candidate;
    }
  }
  return meant;
}

}  // namespace allometry
