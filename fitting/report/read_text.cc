#include "fitting/report/read_text.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::fitting {

std::vector<std::string> ReadLines(const ReadSummary& read) {
  constexpr size_t kListed = 12;  // columns that are not read; all are in --json
  std::vector<std::string> lines;
  if (read.file.empty()) return lines;
  lines.push_back(absl::StrFormat("read: %s (%s)%s", read.file, read.form,
                                  read.group.empty() ? "" : ", the rows of " + read.group));
  for (const ReadSummary::Column& column : read.columns) {
    std::vector<std::string> more;
    if (!column.unit.empty()) more.push_back(column.unit);
    if (!column.note.empty()) more.push_back(column.note);
    lines.push_back(absl::StrFormat("  %-9s column '%s'%s%s", column.quantity, column.header,
                                    more.empty() ? "" : ": ", absl::StrJoin(more, "; ")));
  }
  if (!read.derived.empty()) {
    lines.push_back("  derived   " + absl::StrJoin(read.derived, "; "));
  }
  if (!read.unread.empty()) {
    std::vector<std::string> listed(read.unread.begin(),
                                    read.unread.begin() + std::min(read.unread.size(), kListed));
    if (read.unread.size() > kListed) {
      listed.push_back(absl::StrFormat("and %d more", read.unread.size() - kListed));
    }
    lines.push_back("  not read  " + absl::StrJoin(listed, ", "));
  }
  return lines;
}

}  // namespace allometry::fitting
