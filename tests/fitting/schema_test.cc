// The JSON of every report is what docs/fit-report.schema.json says, and nothing else.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using Json = nlohmann::json;

bool HasType(const Json& value, const std::string& type) {
  if (type == "null") return value.is_null();
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  return type == "number" && value.is_number();
}

// The keywords that the schema uses. Returns the first violation, or "".
std::string Violation(const Json& root, const Json& schema, const Json& value,
                      const std::string& at) {
  if (schema.contains("$ref")) {
    const std::string name = schema["$ref"].get<std::string>().substr(8);  // "#/$defs/"
    return Violation(root, root["$defs"].at(name), value, at);
  }
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end()) {
    return absl::StrCat(at, ": ", value.dump(), " is not of the enum");
  }
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    if (std::none_of(types.begin(), types.end(),
                     [&](const Json& type) { return HasType(value, type); })) {
      return absl::StrCat(at, ": ", value.dump().substr(0, 60), " is no ", types.dump());
    }
  }
  if (value.is_array() && schema.contains("items")) {
    for (size_t i = 0; i < value.size(); ++i) {
      const std::string wrong =
          Violation(root, schema["items"], value[i], absl::StrCat(at, "[", i, "]"));
      if (!wrong.empty()) return wrong;
    }
  }
  if (!value.is_object()) return "";
  for (const Json& key : schema.value("required", Json::array())) {
    if (!value.contains(key)) return absl::StrCat(at, ": no ", key.dump());
  }
  const Json properties = schema.value("properties", Json::object());
  for (const auto& [key, one] : value.items()) {
    const std::string place = absl::StrCat(at, ".", key);
    if (properties.contains(key)) {
      const std::string wrong = Violation(root, properties[key], one, place);
      if (!wrong.empty()) return wrong;
    } else if (schema.contains("additionalProperties")) {
      const Json& other = schema["additionalProperties"];
      if (other.is_boolean()) {
        if (!other.get<bool>()) return absl::StrCat(place, ": not in the schema");
        continue;
      }
      const std::string wrong = Violation(root, other, one, place);
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

std::string Violation(const FitReport& report) {
  static const Json schema = [] {
    std::ifstream file(std::string(ALLO_SOURCE_DIR) + "/docs/fit-report.schema.json");
    return Json::parse(file);
  }();
  return Violation(schema, schema, Json::parse(ReportJson(report)), "report");
}

TEST(SchemaTest, EveryKindOfReportConforms) {
  FitOptions options;
  options.budgets = {1e22, 1e24};
  EXPECT_EQ(Violation(FitOrDie(CurveSweep(1, 9, 40), options)), "");
  EXPECT_EQ(Violation(FitOrDie(TransientSweep(1, {}), options)), "");
  options.resamples = 200;
  EXPECT_EQ(Violation(FitOrDie(Chinchilla240(), options)), "");
  options.profile = true;
  options.method = Method::kParametric;
  EXPECT_EQ(Violation(FitOrDie(GridSweep(1, {}), options)), "");
  FitOptions withheld;
  withheld.budgets = {1e22};
  Observations labelled;
  for (const Observation& p : GridSweep(1, {}).points()) {
    labelled.Add(p, "", absl::StrCat(std::round(p.params)));
  }
  withheld.withhold = {labelled.families().back()};
  EXPECT_EQ(Violation(FitOrDie(labelled, withheld)), "");
  // Everything refused.
  Observations three;
  for (int i = 1; i <= 3; ++i) {
    Observation p;
    p.params = 1e6 * i, p.tokens = 1e8, p.loss = 3 - 0.1 * i;
    three.Add(p);
  }
  EXPECT_EQ(Violation(FitOrDie(three, {})), "");
}

TEST(SchemaTest, NoticesAKeyThatIsMissingOrNew) {
  const Json schema = {{"type", "object"},
                       {"properties", {{"a", {{"type", "number"}}}}},
                       {"required", {"a"}},
                       {"additionalProperties", false}};
  EXPECT_EQ(Violation(schema, schema, {{"a", 1}}, ""), "");
  EXPECT_NE(Violation(schema, schema, Json::object(), ""), "");
  EXPECT_NE(Violation(schema, schema, {{"a", 1}, {"b", 2}}, ""), "");
  EXPECT_NE(Violation(schema, schema, {{"a", "1"}}, ""), "");
}

}  // namespace
}  // namespace allometry::fitting
