#include "fitting/data/records.h"

#include "absl/strings/ascii.h"

namespace allometry::fitting {

absl::StatusOr<bool> Records::Next() {
  while (true) {
    ALLO_ASSIGN_OR_RETURN(const bool more, lines_.Next(text_));
    if (!more) return false;
    line_ = lines_.line();
    if (comments_) {
      text_ = absl::StripLeadingAsciiWhitespace(text_);
      while (!text_.empty() && (text_.front() == '#' || text_.front() == '%')) {
        text_.remove_prefix(1);
      }
    }
    if (IsNoRow(text_)) continue;
    balanced_ = splitter_.Split(text_);
    if (!balanced_) ALLO_RETURN_IF_ERROR(Join());
    return true;
  }
}

absl::Status Records::Join() {
  first_ = std::string(text_);
  absl::string_view record;
  size_t length = first_.size();
  while (true) {
    ALLO_ASSIGN_OR_RETURN(const bool more, lines_.Longer(record));
    if (!more) break;
    const bool closed = splitter_.Split(record);
    if (closed && (expected_ == 0 || fields().size() == expected_)) {
      joined_ = std::string(record);
      text_ = joined_;
      lines_.Accept();
      balanced_ = splitter_.Split(text_);
      return absl::OkStatus();
    }
    if (closed) break;
    // The line that was added, alone.
    Splitter alone(splitter_.separator());
    if (expected_ > 1 && alone.Split(record.substr(std::min(record.size(), length + 1))) &&
        alone.fields().size() == expected_) {
      break;  // a whole row inside
    }
    length = record.size();
  }
  text_ = first_;
  splitter_.Split(text_);
  return absl::OkStatus();
}

}  // namespace allometry::fitting
