#include "coordinator/sweep/json_object.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"

namespace allometry::sweep {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 8;

int LineOf(const YAML::Node& node, int otherwise) {
  return node.Mark().is_null() ? otherwise : node.Mark().line + 1;
}

Json ScalarValue(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;
  if (text == "true" || text == "false") return text == "true";
  int64_t integer = 0;
  if (absl::SimpleAtoi(text, &integer)) return integer;
  double real = 0;
  const bool numeric = !text.empty() && text.find_first_not_of("0123456789+-.eE") == text.npos;
  if (numeric && absl::SimpleAtod(text, &real) && std::isfinite(real)) return real;
  return text;
}

std::optional<Json> ValueOf(const YAML::Node& node, const std::string& name, int line, int depth,
                            Mistakes& mistakes) {
  line = LineOf(node, line);
  if (depth > kDeepest) {
    mistakes.Add(line, absl::StrFormat("%s is nested more than %d deep", name, kDeepest));
    return std::nullopt;
  }
  if (node.IsScalar()) return ScalarValue(node);
  Json json;
  if (node.IsSequence()) {
    json = Json::array();
    for (const YAML::Node& item : node) {
      auto value = ValueOf(item, name, line, depth + 1, mistakes);
      if (!value) return std::nullopt;
      json.push_back(*std::move(value));
    }
    return json;
  }
  if (node.IsMap()) {
    json = Json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        mistakes.Add(line, absl::StrFormat("a key of %s is no word", name));
        return std::nullopt;
      }
      auto value = ValueOf(entry.second, name, line, depth + 1, mistakes);
      if (!value) return std::nullopt;
      json[entry.first.Scalar()] = *std::move(value);
    }
    return json;
  }
  mistakes.Add(line, absl::StrFormat("%s has no value", name));
  return std::nullopt;
}

}  // namespace

bool IsMapOf(const Field& field, absl::string_view what, Mistakes& mistakes) {
  if (field.node.IsMap()) return true;
  mistakes.Add(field.line, absl::StrFormat("%s is not a map: %s", field.name, what));
  return false;
}

Json ReadObject(const Field& field, absl::string_view what, Mistakes& mistakes) {
  Json json = Json::object();
  if (!IsMapOf(field, what, mistakes)) return json;
  for (const Field& entry : ReadTable(field, kMostEntries, mistakes)) {
    auto value =
        ValueOf(entry.node, absl::StrCat(field.name, ".", entry.name), entry.line, 1, mistakes);
    if (value) json[entry.name] = *std::move(value);
  }
  return json;
}

}  // namespace allometry::sweep
