// Typed reading of a YAML map that goes on after a mistake. Use it only inside ReadDocument
// (yaml_text.h), which catches the exceptions of yaml-cpp.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "run/choices.h"

namespace allometry::sweep {

// A value and the word and line by which messages name it.
struct Field {
  YAML::Node node;
  std::string name;
  int line = 0;
};

// What a number may be.
struct Range {
  double low = 0;
  double high = 0;
  bool open_low = false;   // `low` itself is not allowed
  bool open_high = false;  // `high` itself is not allowed
};

// Each returns nothing after adding a mistake that says the name, the value and what is allowed.
std::optional<std::string> ReadText(const Field& field, Mistakes& mistakes);
std::optional<double> ReadReal(const Field& field, const Range& range, Mistakes& mistakes);
std::optional<int64_t> ReadInteger(const Field& field, const Range& range, Mistakes& mistakes);
std::optional<bool> ReadFlag(const Field& field, Mistakes& mistakes);
std::optional<double> ReadDuration(const Field& field, const Range& range, Mistakes& mistakes);
std::optional<std::string> ReadChoice(const Field& field, absl::Span<const absl::string_view> names,
                                      Mistakes& mistakes);
// The items, each under the list's name. An empty list is a mistake, as is more than `most`.
std::vector<Field> ReadList(const Field& field, absl::string_view example, size_t most,
                            Mistakes& mistakes);
// The entries of a map whose keys are the author's own, each under its key. A key given twice is a
// mistake, an empty map is one, as is more than `most`.
std::vector<Field> ReadTable(const Field& field, size_t most, Mistakes& mistakes);

// The keys that a section of the file may have. `path` is "" at the top level.
struct Section {
  absl::string_view path;
  absl::Span<const absl::string_view> keys;
};

// A map with known keys. Unknown keys (with the nearest known one, or the section where such a key
// belongs) and repeated ones are mistakes.
class Fields {
 public:
  // `sections` is every section of the file, for the hints; `path` is one of them.
  Fields(const Field& map, absl::string_view path, absl::Span<const Section> sections,
         Mistakes& mistakes);

  // Nothing when the key is not there, or there without a value (a mistake).
  std::optional<Field> Find(absl::string_view key) const;
  // As Find; a key that is not there is a mistake, with `meaning` ("tokens a sequence, ...").
  std::optional<Field> Require(absl::string_view key, absl::string_view meaning) const;
  int line() const { return line_; }

  // `value` keeps its default when the key is not there or its value is a mistake.
  void Real(absl::string_view key, const Range& range, double* value) const;
  template <class Int>
  void Integer(absl::string_view key, const Range& range, Int* value) const {
    if (const auto field = Find(key)) {
      if (const auto read = ReadInteger(*field, range, mistakes_)) *value = static_cast<Int>(*read);
    }
  }
  void Flag(absl::string_view key, bool* value) const;
  void Choice(absl::string_view key, absl::Span<const absl::string_view> names,
              std::string* value) const;
  // A word that run/choices.h has a row for.
  template <run::IsChoice Enum>
  void Choice(absl::string_view key, Enum* value) const {
    std::vector<absl::string_view> names;
    for (const run::Choice<Enum>& choice : ChoicesOf(*value)) names.push_back(choice.name);
    std::string name = run::NameOf(*value);
    Choice(key, names, &name);
    *value = *run::Parse<Enum>(name);
  }

 private:
  Mistakes& mistakes_;
  std::string path_;
  int line_ = 0;
  bool is_map_ = false;  // and one whose keys were read
  std::vector<Field> fields_;
};

}  // namespace allometry::sweep
