// Any proto message as JSON for --json: fields by their proto names, in order, every one present
// (so a script may rely on it), integers as numbers, enums by name, doubles that round-trip, and
// null for a double that is not finite.
#pragma once

#include <google/protobuf/message.h>

#include "nlohmann/json.hpp"

namespace allometry::cli {

nlohmann::ordered_json ToJson(const google::protobuf::Message& message);

}  // namespace allometry::cli
