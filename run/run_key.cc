#include "run/run_key.h"

#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "run/fields.h"

namespace allometry::run {
namespace {

// The lines of one generation of settings. Younger ones have a line only where they are set.
template <class Owner>
void AppendLines(const Owner& owner, KeySince since, std::string* text) {
  const Owner defaults;
  ForEach(FieldsOf(&owner), [&](const auto& row) {
    const auto& value = owner.*row.member;
    using T = std::decay_t<decltype(value)>;
    if constexpr (HasFields<T>) {
      AppendLines(value, since, text);
    } else {
      if (row.key_since != since) return;
      if (since == KeySince::kYounger && value == defaults.*row.member) return;
      absl::StrAppend(text, row.key_name != nullptr ? row.key_name : row.name, " ");
      if constexpr (std::is_same_v<T, double>) {
        absl::StrAppendFormat(text, "%.17g\n", value);  // gives every double back exactly
      } else if constexpr (std::is_same_v<T, JsonText>) {
        absl::StrAppend(text, value.text, "\n");
      } else if constexpr (IsChoice<T>) {
        absl::StrAppend(text, NameOf(value), "\n");
      } else {
        absl::StrAppend(text, value, "\n");
      }
    }
  });
}

}  // namespace

std::string RunKey(const Identity& identity) {
  std::string text = "allometry run 1\n";
  AppendLines(identity, KeySince::kFirst, &text);
  AppendLines(identity, KeySince::kYounger, &text);
  return HashHex(text);
}

}  // namespace allometry::run
