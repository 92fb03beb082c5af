#include "data/json_lines.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/json_shape.h"

namespace allometry::data {
namespace {

// A line is a document and what belongs to it; of another shape it is something else.
nlohmann::ordered_json Parse(absl::string_view line) {
  if (!CheckJsonShape(line).ok()) return nlohmann::ordered_json::value_t::discarded;
  return nlohmann::ordered_json::parse(line.begin(), line.end(), nullptr, false);
}

std::vector<std::string> StringFields(const nlohmann::ordered_json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) {
    if (value.is_string()) names.push_back(name);
  }
  return names;
}

}  // namespace

std::optional<std::vector<std::string>> StringFieldsOfFirstLine(absl::string_view text) {
  text = absl::StripLeadingAsciiWhitespace(text);
  if (text.empty() || text[0] != '{') return std::nullopt;
  const auto json = Parse(text.substr(0, text.find('\n')));
  if (!json.is_object()) return std::nullopt;
  return StringFields(json);
}

bool IsJsonDocument(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.empty() || (text[0] != '{' && text[0] != '[')) return false;
  return CheckJsonShape(text).ok() && nlohmann::json::accept(text.begin(), text.end());
}

absl::StatusOr<std::vector<std::string>> ReadJsonLines(absl::string_view text,
                                                       const std::string& name) {
  std::vector<std::string> documents;
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    const auto json = Parse(line);
    if (!json.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("line %d is no JSON object: \"%s\"", number, line.substr(0, 40)));
    }
    const auto field = json.find(name);
    if (field == json.end() || !field->is_string()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "line %d: '%s' is %s: its fields of text are: %s", number, name,
          field == json.end() ? "missing" : "no string", absl::StrJoin(StringFields(json), ", ")));
    }
    documents.push_back(field->get<std::string>());
  }
  return documents;
}

}  // namespace allometry::data
