// Any proto message as JSON for --json: fields by their proto names, in order, every one present
// (so a script may rely on it), integers as numbers, enums by name, doubles that round-trip. Null
// stands for what there is not: a message that is not set, an enum that is unspecified, a double
// that is not finite, and the zero of the fields for which the proto says that 0 (or below) is
// none.
#pragma once

#include <google/protobuf/message.h>

#include "nlohmann/json.hpp"

namespace allometry::cli {

nlohmann::ordered_json ToJson(const google::protobuf::Message& message);

}  // namespace allometry::cli
