#include "run/fields.h"

#include "absl/strings/str_cat.h"
#include "run/json_fields.h"
#include "run/trainer_rules.h"

namespace allometry::run {
namespace {

template <class T>
std::string DefaultText(const T& value) {
  if constexpr (IsChoice<T>) {
    return DumpJson(Json(NameOf(value)));
  } else {
    return DumpJson(Json(value));
  }
}

template <class Owner>
void AppendRows(const std::string& prefix, std::string* text) {
  const Owner defaults;
  ForEach(FieldsOf(&defaults), [&](const auto& row) {
    const auto& value = defaults.*row.member;
    using T = std::decay_t<decltype(value)>;
    const std::string name = absl::StrCat(prefix, row.name);
    if constexpr (HasFields<T>) {
      AppendRows<T>(name + ".", text);
    } else {
      const std::string otherwise =
          row.presence == Presence::kRequired ? "required" : DefaultText(value);
      absl::StrAppend(text, "| `", name, "` | ", otherwise, " | ", AllowedText(row), " | ",
                      row.key_since == KeySince::kNever ? "" : "yes", " | ", row.meaning, " |\n");
    }
  });
}

template <class T>
Json TypeOf() {
  if constexpr (std::is_same_v<T, std::string>) return {{"type", "string"}};
  if constexpr (std::is_same_v<T, bool>) return {{"type", "boolean"}};
  if constexpr (std::is_floating_point_v<T>) return {{"type", "number"}};
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) return {{"type", "integer"}};
  if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
    return {{"type", "array"}, {"items", {{"type", "integer"}}}};
  }
  return Json::object();
}

template <class Owner>
Json SchemaOf() {
  const Owner defaults;
  Json schema = {{"type", "object"}, {"properties", Json::object()}, {"required", Json::array()}};
  ForEach(FieldsOf(&defaults), [&](const auto& row) {
    using T = std::decay_t<decltype(defaults.*row.member)>;
    Json field;
    if constexpr (HasFields<T>) {
      field = SchemaOf<T>();
    } else {
      field = TypeOf<T>();
      const Allowed& allowed = row.allowed;
      if (std::isfinite(allowed.low)) {
        field[allowed.open_low ? "exclusiveMinimum" : "minimum"] = allowed.low;
      }
      if (std::isfinite(allowed.high)) {
        field[allowed.open_high ? "exclusiveMaximum" : "maximum"] = allowed.high;
      }
      if (row.presence != Presence::kRequired) field["default"] = Json(defaults.*row.member);
    }
    field["description"] = row.meaning;
    schema["properties"][row.name] = std::move(field);
    if (row.presence == Presence::kRequired) schema["required"].push_back(row.name);
  });
  return schema;
}

Json Object(const std::vector<std::pair<const char*, const char*>>& fields) {
  Json schema = {{"type", "object"}, {"properties", Json::object()}};
  for (const auto& [name, type] : fields) schema["properties"][name] = {{"type", type}};
  return schema;
}

}  // namespace

std::string RunJsonSchema() {
  Json schema = SchemaOf<RunSpec>();
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = std::string("run.json of Allometry, contract ") + kContractVersion;
  Json start = Object({{"attempt", "integer"},
                       {"step", "integer"},
                       {"file", "string"},
                       {"hash", "string"},
                       {"run_id", "integer"}});
  start["description"] = "the checkpoint to start from; absent: step 0";
  schema["properties"]["start"] = std::move(start);
  Json input = Object({{"kind", "string"},
                       {"run_key", "string"},
                       {"run_id", "integer"},
                       {"file", "string"},
                       {"hash", "string"},
                       {"step", "integer"}});
  schema["properties"]["inputs"] = {{"type", "array"}, {"items", std::move(input)}};
  return DumpJson(schema, 2) + "\n";
}

std::string FieldsAsMarkdown() {
  std::string text =
      "| field | default | allowed | shapes the numbers | meaning |\n|---|---|---|---|---|\n";
  AppendRows<RunSpec>("", &text);
  return text;
}

}  // namespace allometry::run
