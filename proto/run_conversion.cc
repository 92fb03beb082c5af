#include "proto/run_conversion.h"

#include <google/protobuf/message.h>
#include <google/protobuf/reflection.h>

#include <type_traits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "run/choices.h"
#include "run/fields.h"
#include "run/run_key.h"

namespace allometry {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Settings = google::protobuf::Map<std::string, std::string>;

const FieldDescriptor* FieldNamed(const Message& message, const char* name) {
  return message.GetDescriptor()->FindFieldByName(name);
}

// --- one value of a message's own field

void Get(const Message& m, const FieldDescriptor* f, int* v) {
  *v = m.GetReflection()->GetInt32(m, f);
}
void Get(const Message& m, const FieldDescriptor* f, int64_t* v) {
  *v = m.GetReflection()->GetInt64(m, f);
}
void Get(const Message& m, const FieldDescriptor* f, double* v) {
  *v = m.GetReflection()->GetDouble(m, f);
}
void Get(const Message& m, const FieldDescriptor* f, bool* v) {
  *v = m.GetReflection()->GetBool(m, f);
}
void Get(const Message& m, const FieldDescriptor* f, std::string* v) {
  *v = m.GetReflection()->GetString(m, f);
}
void Get(const Message& m, const FieldDescriptor* f, std::vector<int64_t>* v) {
  const auto values = m.GetReflection()->GetRepeatedFieldRef<int64_t>(m, f);
  v->assign(values.begin(), values.end());
}

// Texts of JSON are settings alone.
void Get(const Message&, const FieldDescriptor*, run::JsonText*) {}
void Set(Message*, const FieldDescriptor*, const run::JsonText&) {}

// A choice that is not set keeps its default, as where run.json leaves it out.
template <run::IsChoice Enum>
bool Get(const Message& m, const FieldDescriptor* f, Enum* v) {
  const std::string name = m.GetReflection()->GetString(m, f);
  const std::optional<Enum> choice = name.empty() ? *v : run::Parse<Enum>(name);
  if (choice.has_value()) *v = *choice;
  return choice.has_value();
}

void Set(Message* m, const FieldDescriptor* f, int v) { m->GetReflection()->SetInt32(m, f, v); }
void Set(Message* m, const FieldDescriptor* f, int64_t v) { m->GetReflection()->SetInt64(m, f, v); }
void Set(Message* m, const FieldDescriptor* f, double v) { m->GetReflection()->SetDouble(m, f, v); }
void Set(Message* m, const FieldDescriptor* f, const std::string& v) {
  m->GetReflection()->SetString(m, f, v);
}
template <run::IsChoice Enum>
void Set(Message* m, const FieldDescriptor* f, Enum v) {
  m->GetReflection()->SetString(m, f, run::NameOf(v));
}

// --- one value of the map `settings`

std::string Text(double value) { return absl::StrFormat("%.17g", value); }
std::string Text(const run::JsonText& value) { return value.text; }
template <class T>
std::string Text(const T& value) {
  if constexpr (run::IsChoice<T>) {
    return run::NameOf(value);
  } else {
    return absl::StrCat(value);
  }
}

bool FromText(const std::string& text, int* value) { return absl::SimpleAtoi(text, value); }
bool FromText(const std::string& text, int64_t* value) { return absl::SimpleAtoi(text, value); }
bool FromText(const std::string& text, double* value) { return absl::SimpleAtod(text, value); }
bool FromText(const std::string& text, bool* value) { return absl::SimpleAtob(text, value); }
bool FromText(const std::string& text, std::string* value) {
  *value = text;
  return true;
}
bool FromText(const std::string& text, run::JsonText* value) {
  value->text = text;
  return true;
}
bool FromText(const std::string&, std::vector<int64_t>*) { return false; }
template <run::IsChoice Enum>
bool FromText(const std::string& text, Enum* value) {
  const std::optional<Enum> choice = run::Parse<Enum>(text);
  if (choice.has_value()) *value = *choice;
  return choice.has_value();
}

// `prefix` is the path of the table in `settings`: "optimizer.". A younger table has no message.
template <class Owner>
absl::Status Read(const Message* message, const Settings& settings, const std::string& prefix,
                  Owner* owner, size_t* found) {
  absl::Status status;
  ForEach(run::FieldsOf(owner), [&](const auto& row) {
    if (!status.ok()) return;
    auto& value = owner->*row.member;
    using T = std::decay_t<decltype(value)>;
    const FieldDescriptor* field = message == nullptr ? nullptr : FieldNamed(*message, row.name);
    if constexpr (run::HasFields<T>) {
      if constexpr (!std::is_same_v<T, run::Identity>) {
        const Message* nested =
            field == nullptr ? nullptr : &message->GetReflection()->GetMessage(*message, field);
        status = Read(nested, settings, absl::StrCat(prefix, row.name, "."), &value, found);
      }
    } else if (field != nullptr) {
      if constexpr (run::IsChoice<T>) {
        if (!Get(*message, field, &value)) {
          status = absl::InvalidArgumentError(absl::StrCat(
              prefix, row.name, " is '", message->GetReflection()->GetString(*message, field),
              "'; allowed: ", run::NamesOf<T>()));
        }
      } else {
        Get(*message, field, &value);
      }
    } else if (const auto text = settings.find(absl::StrCat(prefix, row.name));
               text != settings.end()) {
      ++*found;
      if (!FromText(text->second, &value)) {
        status = absl::InvalidArgumentError(absl::StrCat(
            "setting ", text->first, " is '", text->second, "'; allowed: ", AllowedText(row)));
      }
    }
  });
  return status;
}

template <class Owner>
absl::Status ReadAll(const Message& message, const Settings& settings, Owner* owner) {
  size_t found = 0;
  ALLO_RETURN_IF_ERROR(Read(&message, settings, "", owner, &found));
  if (found == settings.size()) return absl::OkStatus();
  std::vector<std::string> names;
  for (const auto& [name, value] : settings) names.push_back(name);
  return absl::InvalidArgumentError(absl::StrCat(
      "a setting is not known here (the coordinator may be newer): ", absl::StrJoin(names, ", ")));
}

template <class Owner>
void Write(const Owner& owner, const std::string& prefix, Message* message, Settings* settings) {
  const Owner defaults;
  ForEach(run::FieldsOf(&owner), [&](const auto& row) {
    const auto& value = owner.*row.member;
    using T = std::decay_t<decltype(value)>;
    const FieldDescriptor* field = message == nullptr ? nullptr : FieldNamed(*message, row.name);
    if constexpr (run::HasFields<T>) {
      Message* nested =
          field == nullptr ? nullptr : message->GetReflection()->MutableMessage(message, field);
      Write(value, absl::StrCat(prefix, row.name, "."), nested, settings);
    } else if (field != nullptr) {
      Set(message, field, value);
    } else if (value != defaults.*row.member) {
      (*settings)[absl::StrCat(prefix, row.name)] = Text(value);
    }
  });
}

}  // namespace

absl::StatusOr<run::Identity> ToIdentity(const v1::RunIdentity& message) {
  run::Identity identity;
  ALLO_RETURN_IF_ERROR(ReadAll(message, message.settings(), &identity));
  return identity;
}

v1::RunIdentity ToProto(const run::Identity& identity) {
  v1::RunIdentity message;
  Write(identity, "", &message, message.mutable_settings());
  return message;
}

absl::StatusOr<run::RunSpec> ToRunSpec(const v1::RunSpec& message) {
  run::RunSpec spec;
  size_t found = 0;
  ALLO_RETURN_IF_ERROR(Read(&message, Settings(), "", &spec, &found));
  ALLO_ASSIGN_OR_RETURN(spec.identity, ToIdentity(message.identity()));
  return spec;
}

std::string RunKey(const v1::RunIdentity& message) {
  const absl::StatusOr<run::Identity> identity = ToIdentity(message);
  ALLO_CHECK(identity.ok());
  return run::RunKey(*identity);
}

}  // namespace allometry
