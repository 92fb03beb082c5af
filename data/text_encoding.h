// The bytes of a text file as UTF-8 with \n at the ends of lines, or why they are no text.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::data {

struct PlainText {
  std::string text;
  std::string changes;             // ", CRLF read as LF": what is not as in the file; or empty
  std::vector<std::string> notes;  // what a person should know, whole sentences
};

// The names that `encoding` may have: auto, utf-8, utf-16, utf-16le, utf-16be, utf-32, latin-1,
// windows-1252, bytes.
//   auto   refuses what is no text, or is text of two or four bytes a character, and says what it
//          is; takes other bytes as they are, with a note where they are no UTF-8
//   bytes  takes any file as it is, also its line ends
//   else   converts to UTF-8; DataLoss names the first byte that the encoding does not have
// `path` is quoted. InvalidArgument where the file is refused or the encoding unknown.
absl::StatusOr<PlainText> ToPlainText(std::string bytes, const std::string& encoding,
                                      const std::string& path);

}  // namespace allometry::data
