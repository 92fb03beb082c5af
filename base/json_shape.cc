#include "base/json_shape.h"

#include "absl/strings/str_format.h"

namespace allometry {

absl::Status CheckJsonShape(absl::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the text has %d bytes: allowed are at most %d", text.size(), limits.bytes));
  }
  int depth = 0;
  int64_t values = 1;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == ',') ++values;
    if (c == ']' || c == '}') --depth;
    if (c != '[' && c != '{') continue;
    ++values;
    if (++depth > limits.depth) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "byte %d: lists and objects lie within each other more than %d deep", i, limits.depth));
    }
  }
  if (values > limits.values) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the text has about %d values: allowed are at most %d", values, limits.values));
  }
  return absl::OkStatus();
}

}  // namespace allometry
