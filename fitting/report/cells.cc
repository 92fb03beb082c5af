#include "fitting/report/cells.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "fitting/report/conclusion.h"

namespace allometry::fitting {

void Wrap(const std::string& text, size_t indent, std::string& out) {
  std::string line(indent, ' ');
  bool fresh = true;
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (!fresh && line.size() + 1 + word.size() > kColumns) {
      absl::StrAppend(&out, line, "\n");
      line.assign(indent + 2, ' ');
      fresh = true;
    }
    if (!fresh) line.push_back(' ');
    // A word longer than a line (a path, a reason with no spaces) is cut.
    while (line.size() + word.size() > kColumns) {
      const size_t room = kColumns - line.size();
      absl::StrAppend(&out, line, word.substr(0, room), "\n");
      word.remove_prefix(room);
      line.assign(indent + 2, ' ');
    }
    line.append(word.data(), word.size());
    fresh = false;
  }
  absl::StrAppend(&out, line, "\n");
}

void ListExclusions(const std::vector<Exclusion>& exclusions, std::string& out) {
  for (size_t i = 0; i < std::min(exclusions.size(), kListedExclusions); ++i) {
    const Exclusion& one = exclusions[i];
    std::string text = one.line > 0 ? absl::StrFormat("line %d: ", one.line) : "";
    absl::StrAppend(&text, one.reason);
    if (one.points > 1) absl::StrAppendFormat(&text, " (%d points)", one.points);
    Wrap(text, 2, out);
  }
}

std::string Short(double value, int digits) {
  const std::string full = absl::StrFormat("%.*e", digits, value);
  const size_t e = full.find('e');
  if (e == std::string::npos) return full;
  std::string exponent = full.substr(e + 1);
  const bool negative = exponent[0] == '-';
  exponent.erase(0, std::min(exponent.find_first_not_of("+-0"), exponent.size() - 1));
  return absl::StrCat(full.substr(0, e), "e", negative ? "-" : "", exponent);
}

std::string ShortCell(const Estimate& estimate) {
  if (!estimate.estimate) return "-";
  if (!Determined(estimate, true)) return "not determined";
  std::string text = Short(*estimate.estimate, 2);
  if (estimate.lower && estimate.upper) {
    absl::StrAppend(&text, " ", Short(*estimate.lower, 1), "..", Short(*estimate.upper, 1));
  }
  return text;
}

std::string LossCell(const Estimate& estimate) {
  if (!estimate.estimate) return "-";
  if (!Determined(estimate, false)) return "not determined";
  std::string text = absl::StrFormat("%.4f", *estimate.estimate);
  if (estimate.lower && estimate.upper) {
    absl::StrAppendFormat(&text, " %.3f..%.3f", *estimate.lower, *estimate.upper);
  }
  return text;
}

}  // namespace allometry::fitting
