#include "web/json_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace allometry::web {
namespace {

template <class Number>
void AppendDigits(std::string& json, Number value) {
  char digits[32];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), value);
  json.append(digits, end.ptr);
}

}  // namespace

void AppendNumber(std::string& json, double value) {
  if (std::isfinite(value)) {
    AppendDigits(json, value);
  } else {
    json += "null";
  }
}

void AppendNumber(std::string& json, int64_t value) { AppendDigits(json, value); }

void AppendText(std::string& json, absl::string_view text) {
  const auto is_plain = [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; };
  if (std::all_of(text.begin(), text.end(), is_plain)) {
    json += '"';
    json.append(text.data(), text.size());
    json += '"';
    return;
  }
  json += nlohmann::json(std::string(text))
              .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string MessageJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for messages that hold an Any; ours have none.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return "null";
  return json;
}

}  // namespace allometry::web
