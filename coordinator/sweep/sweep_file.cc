#include "coordinator/sweep/sweep_file.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace allometry::sweep {

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= 64 && absl::ascii_isalnum(text[0]) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

}  // namespace allometry::sweep
