#include "run/fields.h"

#include "absl/strings/str_cat.h"
#include "run/json_fields.h"

namespace allometry::run {
namespace {

template <class T>
std::string DefaultText(const T& value) {
  if constexpr (IsChoice<T>) {
    return DumpJson(Json(NameOf(value)));
  } else {
    return DumpJson(Json(value));
  }
}

template <class Owner>
void AppendRows(const std::string& prefix, std::string* text) {
  const Owner defaults;
  ForEach(FieldsOf(&defaults), [&](const auto& row) {
    const auto& value = defaults.*row.member;
    using T = std::decay_t<decltype(value)>;
    const std::string name = absl::StrCat(prefix, row.name);
    if constexpr (HasFields<T>) {
      AppendRows<T>(name + ".", text);
    } else {
      const std::string otherwise =
          row.presence == Presence::kRequired ? "required" : DefaultText(value);
      absl::StrAppend(text, "| `", name, "` | ", otherwise, " | ", AllowedText(row), " | ",
                      row.key_since == KeySince::kNever ? "" : "yes", " | ", row.meaning, " |\n");
    }
  });
}

}  // namespace

std::string FieldsAsMarkdown() {
  std::string text =
      "| field | default | allowed | shapes the numbers | meaning |\n|---|---|---|---|---|\n";
  AppendRows<RunSpec>("", &text);
  return text;
}

}  // namespace allometry::run
