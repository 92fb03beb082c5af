#include "worker/launch/failure_line.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace allometry::launch {
namespace {

constexpr size_t kLongest = 300;

bool IsRule(absl::string_view line) {
  return line.size() >= 20 && line.find_first_not_of('-') == absl::string_view::npos;
}

// Two letters together: "}", "^C" and "...: 12" are no words.
bool HasWord(absl::string_view line) {
  for (size_t i = 1; i < line.size(); ++i) {
    if (absl::ascii_isalpha(static_cast<unsigned char>(line[i])) &&
        absl::ascii_isalpha(static_cast<unsigned char>(line[i - 1]))) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string FailureLine(absl::string_view log) {
  absl::string_view outside, in_notice;
  bool notice = false, notice_has_words = false;
  for (absl::string_view line : absl::StrSplit(log, absl::ByAnyChar("\n\r"))) {
    line = absl::StripAsciiWhitespace(line);
    if (IsRule(line)) {
      notice = !notice;
      notice_has_words = false;
      continue;
    }
    if (!HasWord(line)) continue;
    if (!notice) {
      outside = line;
    } else if (!notice_has_words) {
      notice_has_words = true;
      in_notice = line;
    }
  }
  const absl::string_view words = outside.empty() ? in_notice : outside;
  return std::string(words.substr(0, kLongest));
}

}  // namespace allometry::launch
