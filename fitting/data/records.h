// The rows of a table: lines cut into fields, where a field in quotes may hold line breaks.
//
// A quote that is never closed must not swallow the rows behind it. Lines are joined only where the
// joined record has the table's number of fields and no line inside it is a whole row by itself;
// otherwise the line stands alone, unbalanced.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/data/dialect.h"
#include "fitting/data/text_lines.h"

namespace allometry::fitting {

class Records {
 public:
  Records(TextLines& lines, Separator separator) : lines_(lines), splitter_(separator) {}

  // Number of fields of a row; 0, as before the header, is any.
  void Expect(size_t fields) { expected_ = fields; }
  // Reads `# N D loss` as N D loss: a header that a program wrote as a comment.
  void ReadComments() { comments_ = true; }

  // The next row; blank lines, comments and rules are passed over. False at the end of the file.
  absl::StatusOr<bool> Next();

  int64_t line() const { return line_; }  // of the row's first line
  absl::string_view text() const { return text_; }
  bool balanced() const { return balanced_; }  // false: a quote is never closed
  const std::vector<absl::string_view>& fields() const { return splitter_.fields(); }

 private:
  absl::Status Join();

  TextLines& lines_;
  Splitter splitter_;
  size_t expected_ = 0;
  bool comments_ = false, balanced_ = true;
  int64_t line_ = 0;
  absl::string_view text_;
  std::string first_, joined_;
};

}  // namespace allometry::fitting
