// JSON Lines: a text file with one JSON object a line, one of whose fields is a document.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::data {

// What the first line that is not blank shows: the names of the fields that are strings, where it
// is a JSON object; nothing where it is none. So a file that is one JSON value over several lines
// gives nothing.
std::optional<std::vector<std::string>> StringFieldsOfFirstLine(absl::string_view text);

// Whether `text` is one JSON value: an object or a list.
bool IsJsonDocument(absl::string_view text);

// The field `name` of every line. InvalidArgument names the line and what is wrong with it.
absl::StatusOr<std::vector<std::string>> ReadJsonLines(absl::string_view text,
                                                       const std::string& name);

}  // namespace allometry::data
