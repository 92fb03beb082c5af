#include "coordinator/sweep/yaml_fields.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/foreign_text.h"
#include "coordinator/sweep/number.h"

namespace allometry::sweep {
namespace {

int LineOf(const YAML::Node& node, int otherwise) {
  const YAML::Mark mark = node.Mark();
  return mark.is_null() ? otherwise : mark.line + 1;
}

std::string KindOf(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Map:
      return "a map";
    case YAML::NodeType::Scalar:
      return "a single value";
    default:
      return "nothing";
  }
}

// The text of a single value, shortened for messages.
std::string Quote(absl::string_view text) {
  std::string quoted = Shortened(text, 63);
  for (char& c : quoted) c = absl::ascii_iscntrl(c) ? ' ' : c;
  return quoted;
}

std::optional<std::string> ScalarText(const Field& field, absl::string_view expected,
                                      Mistakes& mistakes) {
  if (field.node.IsScalar()) return field.node.Scalar();
  mistakes.Add(field.line, absl::StrFormat("%s is %s: %s is expected", field.name,
                                           KindOf(field.node), expected));
  return std::nullopt;
}

std::string Describe(const Range& range) {
  return absl::StrFormat("%s %s %s %s", range.open_low ? "above" : "from", FormatNumber(range.low),
                         range.open_high ? "to below" : "to", FormatNumber(range.high));
}

bool Contains(const Range& range, double value) {
  return (range.open_low ? value > range.low : value >= range.low) &&
         (range.open_high ? value < range.high : value <= range.high);
}

// Edits (insert, delete, replace, swap of neighbours) between two words.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = last;
    last = row;
  }
  return last[b.size()];
}

std::string PlaceOf(absl::string_view path) {
  return path.empty() ? "at the top level" : absl::StrCat("under ", path);
}

std::string HintFor(absl::string_view key, const Section& here,
                    absl::Span<const Section> sections) {
  constexpr size_t kLongestKey = 40;  // longer ones are near to nothing
  size_t nearest = 1 + std::min<size_t>(key.size() / 4, 2);
  absl::string_view meant;
  if (key.size() <= kLongestKey) {
    for (const absl::string_view known : here.keys) {
      const size_t distance = EditDistance(key, known);
      if (distance < nearest || (distance == nearest && meant.empty())) {
        nearest = distance;
        meant = known;
      }
    }
  }
  if (!meant.empty()) return absl::StrFormat("did you mean %s?", meant);
  for (const Section& section : sections) {
    if (std::find(section.keys.begin(), section.keys.end(), key) != section.keys.end()) {
      return absl::StrFormat("it belongs %s", PlaceOf(section.path));
    }
  }
  for (const absl::string_view known : here.keys) {
    if (key.size() >= 4 && absl::StrContains(known, key)) {
      return absl::StrFormat("did you mean %s?", known);
    }
  }
  return absl::StrFormat("allowed are %s", absl::StrJoin(here.keys, ", "));
}

// The entries of a map in file order; keys that are not words and repeated keys are mistakes.
std::vector<Field> Entries(const Field& map, Mistakes& mistakes) {
  std::vector<Field> entries;
  for (const auto& entry : map.node) {
    const int line = LineOf(entry.first, map.line);
    if (!entry.first.IsScalar()) {
      mistakes.Add(line, absl::StrFormat("a key of %s is %s: a word is expected", map.name,
                                         KindOf(entry.first)));
      continue;
    }
    Field field{entry.second, Quote(entry.first.Scalar()), line};
    const auto same = std::find_if(entries.begin(), entries.end(),
                                   [&](const Field& other) { return other.name == field.name; });
    if (same != entries.end()) {
      mistakes.Add(line, absl::StrFormat("%s is given twice, first on line %d: one is allowed",
                                         field.name, same->line));
      continue;
    }
    entries.push_back(std::move(field));
  }
  return entries;
}

}  // namespace

std::optional<std::string> ReadText(const Field& field, Mistakes& mistakes) {
  return ScalarText(field, "a word", mistakes);
}

std::optional<double> ReadReal(const Field& field, const Range& range, Mistakes& mistakes) {
  const auto text = ScalarText(field, "a number", mistakes);
  if (!text) return std::nullopt;
  const auto value = ParseNumber(*text);
  if (!value.ok()) {
    mistakes.Add(field.line,
                 absl::StrFormat("%s %s %s", field.name, Quote(*text), value.status().message()));
    return std::nullopt;
  }
  if (!Contains(range, *value)) {
    mistakes.Add(field.line, absl::StrFormat("%s %s is out of range: allowed is %s", field.name,
                                             Quote(*text), Describe(range)));
    return std::nullopt;
  }
  return *value;
}

std::optional<int64_t> ReadInteger(const Field& field, const Range& range, Mistakes& mistakes) {
  const auto value = ReadReal(field, range, mistakes);
  if (!value) return std::nullopt;
  if (*value != std::floor(*value)) {
    mistakes.Add(field.line, absl::StrFormat("%s %s is not a whole number", field.name,
                                             Quote(field.node.Scalar())));
    return std::nullopt;
  }
  return static_cast<int64_t>(*value);
}

std::optional<bool> ReadFlag(const Field& field, Mistakes& mistakes) {
  const auto text = ScalarText(field, "true or false", mistakes);
  if (!text) return std::nullopt;
  if (*text == "true") return true;
  if (*text == "false") return false;
  mistakes.Add(field.line,
               absl::StrFormat("%s %s is neither true nor false", field.name, Quote(*text)));
  return std::nullopt;
}

std::optional<double> ReadDuration(const Field& field, const Range& range, Mistakes& mistakes) {
  const auto text = ScalarText(field, "a time such as 10s", mistakes);
  if (!text) return std::nullopt;
  const auto seconds = ParseDuration(*text);
  if (!seconds.ok()) {
    mistakes.Add(field.line,
                 absl::StrFormat("%s %s %s", field.name, Quote(*text), seconds.status().message()));
    return std::nullopt;
  }
  if (!Contains(range, *seconds)) {
    mistakes.Add(field.line, absl::StrFormat("%s %s is out of range: allowed is %s seconds",
                                             field.name, Quote(*text), Describe(range)));
    return std::nullopt;
  }
  return *seconds;
}

std::optional<std::string> ReadChoice(const Field& field, absl::Span<const absl::string_view> names,
                                      Mistakes& mistakes) {
  const std::string allowed = absl::StrJoin(names, ", ");
  const auto text = ScalarText(field, absl::StrCat("one of ", allowed), mistakes);
  if (!text) return std::nullopt;
  if (std::find(names.begin(), names.end(), *text) != names.end()) return text;
  mistakes.Add(field.line, absl::StrFormat("%s %s is not known: allowed are %s", field.name,
                                           Quote(*text), allowed));
  return std::nullopt;
}

std::vector<Field> ReadList(const Field& field, absl::string_view example, size_t most,
                            Mistakes& mistakes) {
  std::vector<Field> items;
  if (!field.node.IsSequence()) {
    mistakes.Add(field.line, absl::StrFormat("%s is %s: a list such as %s is expected", field.name,
                                             KindOf(field.node), example));
    return items;
  }
  if (field.node.size() == 0 || field.node.size() > most) {
    mistakes.Add(field.line, absl::StrFormat("%s has %d items: allowed are 1 to %d", field.name,
                                             field.node.size(), most));
    return items;
  }
  for (const YAML::Node& item : field.node) {
    items.push_back({item, field.name, LineOf(item, field.line)});
  }
  return items;
}

std::vector<Field> ReadTable(const Field& field, size_t most, Mistakes& mistakes) {
  if (field.node.size() == 0 || field.node.size() > most) {
    mistakes.Add(field.line, absl::StrFormat("%s has %d entries: allowed are 1 to %d", field.name,
                                             field.node.size(), most));
    return {};
  }
  return Entries(field, mistakes);
}

Fields::Fields(const Field& map, absl::string_view path, absl::Span<const Section> sections,
               Mistakes& mistakes)
    : mistakes_(mistakes), path_(path), line_(map.line), is_map_(map.node.IsMap()) {
  const Section& here = *std::find_if(sections.begin(), sections.end(),
                                      [&](const Section& s) { return s.path == path; });
  if (!is_map_) {
    mistakes.Add(map.line, absl::StrFormat("%s is %s: a map is expected, with %s", map.name,
                                           KindOf(map.node), absl::StrJoin(here.keys, ", ")));
    return;
  }
  constexpr size_t kMost = 200;  // looking for repeated keys is quadratic
  if (map.node.size() > kMost) {
    mistakes.Add(map.line, absl::StrFormat("%s has %d entries: allowed are at most %d", map.name,
                                           map.node.size(), kMost));
    is_map_ = false;
    return;
  }
  for (Field& field : Entries(map, mistakes)) {
    if (std::find(here.keys.begin(), here.keys.end(), field.name) == here.keys.end()) {
      mistakes.Add(field.line, absl::StrFormat("unknown key %s: %s", field.name,
                                               HintFor(field.name, here, sections)));
      continue;
    }
    if (field.node.IsNull()) mistakes.Add(field.line, absl::StrCat(field.name, " has no value"));
    fields_.push_back(std::move(field));
  }
}

std::optional<Field> Fields::Find(absl::string_view key) const {
  for (const Field& field : fields_) {
    if (field.name == key && !field.node.IsNull()) return field;
  }
  return std::nullopt;
}

std::optional<Field> Fields::Require(absl::string_view key, absl::string_view meaning) const {
  const bool there = std::any_of(fields_.begin(), fields_.end(),
                                 [&](const Field& field) { return field.name == key; });
  if (is_map_ && !there) {
    mistakes_.Add(line_,
                  absl::StrFormat("%s is missing%s: %s", key,
                                  path_.empty() ? "" : absl::StrCat(" under ", path_), meaning));
  }
  return Find(key);
}

void Fields::Real(absl::string_view key, const Range& range, double* value) const {
  if (const auto field = Find(key)) {
    if (const auto read = ReadReal(*field, range, mistakes_)) *value = *read;
  }
}

void Fields::Flag(absl::string_view key, bool* value) const {
  if (const auto field = Find(key)) {
    if (const auto read = ReadFlag(*field, mistakes_)) *value = *read;
  }
}

void Fields::Choice(absl::string_view key, absl::Span<const absl::string_view> names,
                    std::string* value) const {
  if (const auto field = Find(key)) {
    if (const auto read = ReadChoice(*field, names, mistakes_)) *value = *read;
  }
}

}  // namespace allometry::sweep
