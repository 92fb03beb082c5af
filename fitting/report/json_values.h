// The values of reports as JSON: null for what is not finite or not there, text that is UTF-8.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "fitting/data/result.h"

namespace allometry::fitting {

using Json = nlohmann::ordered_json;

Json Number(double value);
Json Number(const std::optional<double>& value);
// Labels and reasons may hold bytes of a file.
Json Text(const std::string& text);
Json Text(const std::optional<std::string>& text);
Json Texts(const std::vector<std::string>& texts);
// {"estimate", "lower", "upper"} and, where wanted, "df".
Json ToJson(const Estimate& estimate, bool with_df);
// Indented, with a line end.
std::string Dump(const Json& json);

}  // namespace allometry::fitting
