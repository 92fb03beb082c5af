// JSON written straight into a string: a page over ten thousand runs is made of columns of numbers.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace allometry::web {

// The shortest digits that give the number back; null where it is not finite.
void AppendNumber(std::string& json, double value);
void AppendNumber(std::string& json, int64_t value);
// Quoted; bytes that are not UTF-8 become U+FFFD.
void AppendText(std::string& json, absl::string_view text);

// `"name":[...]` of one value for each item, which `append(json, item)` writes.
template <class Items, class Append>
void AppendColumn(std::string& json, absl::string_view name, const Items& items, Append append) {
  AppendText(json, name);
  json += ":[";
  bool first = true;
  for (const auto& item : items) {
    if (!first) json += ',';
    first = false;
    append(json, item);
  }
  json += ']';
}

// All fields, by their proto names; 64-bit integers as strings, as proto3 has them.
std::string MessageJson(const google::protobuf::Message& message);

}  // namespace allometry::web
