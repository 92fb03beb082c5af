// How the lines of a table are cut into fields.
//
// Comma, semicolon, tab, runs of spaces; the pipes of Markdown, Org and psql; the box characters of
// terminal tables; the ampersands of LaTeX. Fields may be quoted, with "" for a quote inside.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace allometry::fitting {

enum class Separator { kComma, kSemicolon, kTab, kPipe, kAmpersand, kWideSpace, kSpace };
inline constexpr Separator kSeparators[] = {
    Separator::kComma,     Separator::kSemicolon, Separator::kTab,      Separator::kPipe,
    Separator::kAmpersand, Separator::kSpace,     Separator::kWideSpace};
const char* Name(Separator separator);

// Reused from line to line: fields are views of the line, or of the splitter where a field was
// quoted, and are valid until the next call.
class Splitter {
 public:
  explicit Splitter(Separator separator) : separator_(separator) {}

  // False where a quote that opens a field is never closed; the fields are then what was found.
  bool Split(absl::string_view line);
  const std::vector<absl::string_view>& fields() const { return fields_; }
  Separator separator() const { return separator_; }

 private:
  void SplitSpaces(absl::string_view line, size_t fewest);

  Separator separator_;
  std::vector<absl::string_view> fields_;
  std::vector<std::string> unquoted_;
  std::string line_;
};

// Blank, a comment (# or, in LaTeX, %), a rule such as |---|---|, a row of separators alone, a
// LaTeX command such as \hline.
bool IsNoRow(absl::string_view line);

}  // namespace allometry::fitting
