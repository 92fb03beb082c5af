// Reads the fields of one JSON object, each by name and type, and refuses those nobody asked for.
//
//   JsonFields fields(object, "identity.shape");
//   ALLO_RETURN_IF_ERROR(fields.Require("layers", &shape.layers));
//   ALLO_RETURN_IF_ERROR(fields.Allow("family", &shape.family));   // keeps its default if absent
//   ALLO_RETURN_IF_ERROR(fields.RefuseOthers());
//
// Errors are InvalidArgument: the path of the field, its value and what was allowed. Integers must
// be written as integers and fit their type.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "run/choices.h"
#include "run/run_spec.h"

namespace allometry::run {

using Json = nlohmann::json;

// A string that may hold any bytes (an exception's text) as valid UTF-8 JSON.
inline std::string DumpJson(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// A text that is no JSON is a string.
inline void to_json(Json& json, const JsonText& value) {
  if (value.empty()) {
    json = nullptr;
    return;
  }
  json = Json::parse(value.text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) json = value.text;
}

class JsonFields {
 public:
  // `object` must outlive this.
  JsonFields(const Json& object, absl::string_view path) : object_(object), path_(path) {}

  template <class T>
  absl::Status Require(const char* name, T* value) {
    known_.push_back(name);
    if (const absl::Status object = CheckObject(); !object.ok()) return object;
    const auto found = object_.find(name);
    if (found == object_.end()) {
      return absl::InvalidArgumentError(absl::StrCat(PathOf(name), " is missing"));
    }
    return Convert(name, *found, value);
  }

  template <class T>
  absl::Status Allow(const char* name, T* value) {
    known_.push_back(name);
    if (const absl::Status object = CheckObject(); !object.ok()) return object;
    const auto found = object_.find(name);
    return found == object_.end() ? absl::OkStatus() : Convert(name, *found, value);
  }

  absl::Status RefuseOthers() const {
    for (const auto& [key, value] : object_.items()) {
      bool known = false;
      for (const std::string& name : known_) known = known || name == key;
      if (!known) {
        return absl::InvalidArgumentError(absl::StrCat(
            PathOf(key), " is not a known field; known are ", absl::StrJoin(known_, ", ")));
      }
    }
    return absl::OkStatus();
  }

  std::string PathOf(absl::string_view name) const {
    return path_.empty() ? std::string(name) : absl::StrCat(path_, ".", name);
  }

 private:
  absl::Status CheckObject() const {
    if (object_.is_object()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(path_.empty() ? "the document" : path_, " is ",
                                                   DumpJson(object_), ", not a JSON object"));
  }

  absl::Status Wrong(const char* name, const Json& json, absl::string_view allowed) const {
    return absl::InvalidArgumentError(
        absl::StrCat(PathOf(name), " is ", DumpJson(json), "; allowed: ", allowed));
  }

  template <class Integer>
  absl::Status ConvertInteger(const char* name, const Json& json, Integer* value) const {
    constexpr int64_t kMax = std::numeric_limits<Integer>::max();
    constexpr int64_t kMin = std::numeric_limits<Integer>::min();
    const bool fits = json.is_number_unsigned()
                          ? json.get<uint64_t>() <= static_cast<uint64_t>(kMax)
                          : json.is_number_integer() && json.get<int64_t>() >= kMin &&
                                json.get<int64_t>() <= kMax;
    if (!fits) return Wrong(name, json, absl::StrCat("an integer from ", kMin, " to ", kMax));
    *value = json.get<Integer>();
    return absl::OkStatus();
  }

  absl::Status Convert(const char* name, const Json& json, int* value) const {
    return ConvertInteger(name, json, value);
  }
  absl::Status Convert(const char* name, const Json& json, int64_t* value) const {
    return ConvertInteger(name, json, value);
  }
  absl::Status Convert(const char* name, const Json& json, double* value) const {
    if (!json.is_number()) return Wrong(name, json, "a number");
    *value = json.get<double>();
    return absl::OkStatus();
  }
  absl::Status Convert(const char* name, const Json& json, bool* value) const {
    if (!json.is_boolean()) return Wrong(name, json, "true or false");
    *value = json.get<bool>();
    return absl::OkStatus();
  }
  absl::Status Convert(const char* name, const Json& json, std::string* value) const {
    if (!json.is_string()) return Wrong(name, json, "a string");
    *value = json.get<std::string>();
    return absl::OkStatus();
  }
  template <IsChoice Enum>
  absl::Status Convert(const char* name, const Json& json, Enum* value) const {
    if (!json.is_string()) return Wrong(name, json, "a string");
    const std::string text = json.get<std::string>();
    const std::optional<Enum> choice = Parse<Enum>(text);
    if (!choice.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(PathOf(name), " is '", text, "'; allowed: ", NamesOf<Enum>()));
    }
    *value = *choice;
    return absl::OkStatus();
  }
  absl::Status Convert(const char* name, const Json& json, std::vector<int64_t>* value) const {
    if (!json.is_array()) return Wrong(name, json, "an array of integers");
    value->clear();
    for (const Json& element : json) {
      ALLO_RETURN_IF_ERROR(ConvertInteger(name, element, &value->emplace_back()));
    }
    return absl::OkStatus();
  }
  absl::Status Convert(const char*, const Json& json, JsonText* value) const {
    value->text = json.is_null() ? "" : DumpJson(json);
    return absl::OkStatus();
  }
  absl::Status Convert(const char*, const Json& json, Json* value) const {
    *value = json;
    return absl::OkStatus();
  }

  const Json& object_;
  const std::string path_;
  std::vector<std::string> known_;
};

}  // namespace allometry::run
