#include "coordinator/sweep/mistakes.h"

#include <algorithm>

#include "absl/strings/str_join.h"

namespace allometry::sweep {

void Mistakes::Add(int line, absl::string_view text) {
  std::pair<int, std::string> mistake(std::max(line, 1), text);
  if (std::find(mistakes_.begin(), mistakes_.end(), mistake) == mistakes_.end()) {
    mistakes_.push_back(std::move(mistake));
  }
}

absl::Status Mistakes::ToStatus() const {
  if (mistakes_.empty()) return absl::OkStatus();
  auto ordered = mistakes_;
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return absl::InvalidArgumentError(
      absl::StrJoin(ordered, "\n", [this](std::string* out, const auto& mistake) {
        absl::StrAppend(out, file_name_, ":", mistake.first, ": ", mistake.second);
      }));
}

}  // namespace allometry::sweep
