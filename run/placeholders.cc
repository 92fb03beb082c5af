#include "run/placeholders.h"

#include <initializer_list>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/json_shape.h"
#include "run/json_fields.h"

namespace allometry::run {
namespace {

JsonText TextOf(const Json& json) { return {DumpJson(json)}; }

absl::StatusOr<Json> Parse(const JsonText& text) {
  ALLO_RETURN_IF_ERROR(CheckJsonShape(text.text));
  Json json = Json::parse(text.text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat("'", text.text, "' is not JSON"));
  }
  return json;
}

std::string Known(const PlaceholderValues& values) {
  return absl::StrJoin(values, ", ", [](std::string* out, const auto& value) {
    absl::StrAppend(out, "{", value.first, "}");
  });
}

absl::StatusOr<Json> ValueOf(absl::string_view name, const PlaceholderValues& values) {
  const auto found = values.find(std::string(name));
  if (found == values.end()) {
    return absl::InvalidArgumentError(absl::StrCat("placeholder {", name,
                                                   "} is not known: allowed are ", Known(values),
                                                   ", and {{ for a brace"));
  }
  return Parse(found->second);
}

absl::Status ReplaceIn(Json& json, const PlaceholderValues& values) {
  if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    const bool one = text.size() > 2 && text.front() == '{' && text[1] != '{' &&
                     text.find('}') == text.size() - 1;
    if (one) {
      ALLO_ASSIGN_OR_RETURN(json, ValueOf(text.substr(1, text.size() - 2), values));
      return absl::OkStatus();
    }
    ALLO_ASSIGN_OR_RETURN(std::string replaced, Replace(text, values));
    json = std::move(replaced);
    return absl::OkStatus();
  }
  if (json.is_structured()) {
    for (Json& element : json) ALLO_RETURN_IF_ERROR(ReplaceIn(element, values));
  }
  return absl::OkStatus();
}

// Whether the command or its variables have one of these placeholders.
bool Names(const Trainer& trainer, std::initializer_list<absl::string_view> names) {
  for (absl::string_view text :
       {absl::string_view(trainer.command.text), absl::string_view(trainer.environment.text)}) {
    while (!text.empty()) {
      if (absl::ConsumePrefix(&text, "{{") || absl::ConsumePrefix(&text, "}}")) continue;
      for (const absl::string_view name : names) {
        if (absl::StartsWith(text, absl::StrCat("{", name, "}"))) return true;
      }
      text.remove_prefix(1);
    }
  }
  return false;
}

}  // namespace

JsonText JsonString(absl::string_view text) { return TextOf(std::string(text)); }
JsonText JsonInteger(int64_t value) { return TextOf(value); }
JsonText JsonReal(double value) { return TextOf(value); }

PlaceholderValues ValuesOf(const Identity& identity) {
  PlaceholderValues values = {
      {"seed", JsonInteger(identity.seed)},
      {"learning_rate", JsonReal(identity.learning_rate)},
      {"batch_tokens", JsonInteger(identity.batch_tokens)},
      {"context", JsonInteger(identity.shape.context)},
      {"warmup_steps", JsonInteger(identity.warmup_steps)},
      {"schedule", JsonString(NameOf(identity.schedule))},
      {"decay_begin", JsonInteger(identity.decay_begin)},
      {"decay_end", JsonInteger(identity.decay_end)},
      {"final_rate_fraction", JsonReal(identity.final_rate_fraction)},
      {"dataset", JsonString(identity.dataset)},
  };
  const absl::StatusOr<Json> size = Parse(identity.trainer.size);
  if (!size.ok() || !size->is_object()) return values;
  for (const auto& [name, value] : size->items()) {
    if (name != "args") values[absl::StrCat("size.", name)] = TextOf(value);
  }
  const auto args = size->find("args");
  if (args == size->end() || !args->is_object()) return values;
  for (const auto& [name, value] : args->items()) {
    values.emplace(absl::StrCat("size.", name), TextOf(value));
  }
  return values;
}

PlaceholderValues ValuesOf(const RunSpec& spec, const std::string& run_dir,
                           const std::string& data_dir) {
  PlaceholderValues values = ValuesOf(spec.identity);
  values["run_dir"] = JsonString(run_dir);
  values["attempt_dir"] = JsonString(AttemptDir(run_dir, spec.attempt));
  values["data_dir"] = JsonString(data_dir);
  values["devices"] = JsonInteger(spec.ranks);
  values["device"] = JsonString(NameOf(spec.device));
  values["attempt"] = JsonInteger(spec.attempt);
  values["steps"] = JsonInteger(spec.steps);
  return values;
}

void AddPlace(const ProcessPlace& place, PlaceholderValues& values) {
  values["hosts"] = JsonInteger(place.hosts);
  values["host_rank"] = JsonInteger(place.host_rank);
  values["host_devices"] = JsonInteger(place.host_devices);
  values["main_address"] = JsonString(place.main_address);
  values["main_port"] = JsonInteger(place.main_port);
  values["rank"] = JsonInteger(place.rank);
  values["local_rank"] = JsonInteger(place.local_rank);
}

bool IsForEachDevice(const Trainer& trainer) { return Names(trainer, {"rank", "local_rank"}); }

bool KnowsOtherHosts(const Trainer& trainer) {
  return IsForEachDevice(trainer) || Names(trainer, {"hosts", "host_rank", "main_address"});
}

absl::StatusOr<std::string> Replace(absl::string_view text, const PlaceholderValues& values) {
  std::string replaced;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '{' && c != '}') {
      replaced += c;
    } else if (i + 1 < text.size() && text[i + 1] == c) {
      replaced += c;
      ++i;
    } else {
      const size_t end = c == '{' ? text.find('}', i) : absl::string_view::npos;
      if (end == absl::string_view::npos) {
        return absl::InvalidArgumentError(
            absl::StrCat("'", text, "' has a '", absl::string_view(&c, 1),
                         "' of no placeholder: {{ and }} stand for braces"));
      }
      ALLO_ASSIGN_OR_RETURN(const Json value, ValueOf(text.substr(i + 1, end - i - 1), values));
      replaced += value.is_string() ? value.get<std::string>() : DumpJson(value);
      i = end;
    }
  }
  return replaced;
}

absl::StatusOr<JsonText> ReplaceInJson(const JsonText& text, const PlaceholderValues& values) {
  if (text.empty()) return text;
  ALLO_ASSIGN_OR_RETURN(Json json, Parse(text));
  ALLO_RETURN_IF_ERROR(ReplaceIn(json, values));
  return TextOf(json);
}

absl::StatusOr<std::vector<std::string>> StringsOf(const JsonText& text) {
  if (text.empty()) return std::vector<std::string>();
  ALLO_ASSIGN_OR_RETURN(const Json json, Parse(text));
  std::vector<std::string> strings;
  bool all = json.is_array();
  for (size_t i = 0; all && i < json.size(); ++i) {
    all = json[i].is_string();
    if (all) strings.push_back(json[i].get<std::string>());
  }
  if (all) return strings;
  return absl::InvalidArgumentError(absl::StrCat(text.text, " is not an array of strings"));
}

absl::StatusOr<std::map<std::string, std::string>> StringMapOf(const JsonText& text) {
  std::map<std::string, std::string> strings;
  if (text.empty()) return strings;
  ALLO_ASSIGN_OR_RETURN(const Json json, Parse(text));
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(text.text, " is not an object"));
  }
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", DumpJson(value), ", not a string"));
    }
    strings[name] = value.get<std::string>();
  }
  return strings;
}

}  // namespace allometry::run
