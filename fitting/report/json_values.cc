#include "fitting/report/json_values.h"

#include <cmath>

#include "fitting/data/utf8.h"

namespace allometry::fitting {

Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json Number(const std::optional<double>& value) { return value ? Number(*value) : Json(nullptr); }

Json Text(const std::string& text) {
  return ValidUtf8(text) ? Json(text) : Json("(not UTF-8 text)");
}

Json Text(const std::optional<std::string>& text) { return text ? Text(*text) : Json(nullptr); }

Json Texts(const std::vector<std::string>& texts) {
  Json array = Json::array();
  for (const std::string& text : texts) array.push_back(Text(text));
  return array;
}

Json ToJson(const Estimate& estimate, bool with_df) {
  Json json = {{"estimate", Number(estimate.estimate)},
               {"lower", Number(estimate.lower)},
               {"upper", Number(estimate.upper)}};
  if (with_df) json["df"] = Number(estimate.df);
  return json;
}

std::string Dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace allometry::fitting
