#include "coordinator/sweep/by_size.h"

#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/sweep/number.h"

namespace allometry::sweep {
namespace {

constexpr Range kLearningRates{0, 100, /*open_low=*/true};
constexpr Range kRanks{1, 65536};
constexpr size_t kMostEntries = 500;

std::string Labels(const std::vector<SizeChoice>& sizes) {
  return absl::StrJoin(sizes, ", ", [](std::string* out, const SizeChoice& size) {
    absl::StrAppend(out, size.label);
  });
}

// The size that a table's key names; null after adding a mistake.
SizeChoice* FindSize(const Field& table, const Field& entry, std::vector<SizeChoice>& sizes,
                     Mistakes& mistakes) {
  const auto count = ParseNumber(entry.name);
  for (SizeChoice& size : sizes) {
    if (size.label == entry.name) return &size;
    if (size.params != 0 && count.ok() && *count == static_cast<double>(size.params)) return &size;
  }
  mistakes.Add(entry.line, absl::StrFormat("%s has a value for %s, which is not a size of this "
                                           "sweep: its sizes are %s",
                                           table.name, entry.name, Labels(sizes)));
  return nullptr;
}

double ThreeDigits(double value) {
  return ParseNumber(absl::StrFormat("%.2e", value)).value_or(value);
}

// Rates of the sizes that the table leaves open, from their neighbours in it.
void Interpolate(const Field& field, const std::map<int64_t, double>& given,
                 std::vector<SizeChoice>& sizes, Mistakes& mistakes) {
  std::vector<std::string> outside;
  for (SizeChoice& size : sizes) {
    if (size.learning_rate > 0) continue;
    const auto above = given.lower_bound(size.params);
    if (size.params == 0 || above == given.begin() || above == given.end()) {
      outside.push_back(size.label);
      continue;
    }
    const auto below = std::prev(above);
    const double weight = std::log(static_cast<double>(size.params) / below->first) /
                          std::log(static_cast<double>(above->first) / below->first);
    size.learning_rate = ThreeDigits(
        std::exp((1 - weight) * std::log(below->second) + weight * std::log(above->second)));
  }
  if (outside.empty()) return;
  mistakes.Add(field.line,
               absl::StrFormat("learning_rate has no value for %s: give one, or one for a smaller "
                               "and one for a larger size to interpolate between",
                               absl::StrJoin(outside, ", ")));
}

}  // namespace

void ReadLearningRates(const Field& field, std::vector<SizeChoice>& sizes, Mistakes& mistakes) {
  if (!field.node.IsMap()) {
    const auto rate = ReadReal(field, kLearningRates, mistakes);
    for (SizeChoice& size : sizes) size.learning_rate = rate.value_or(0);
    return;
  }
  const std::vector<Field> entries = ReadTable(field, kMostEntries, mistakes);
  bool complete = !entries.empty();
  std::map<int64_t, double> given;
  for (Field entry : entries) {
    SizeChoice* size = sizes.empty() ? nullptr : FindSize(field, entry, sizes, mistakes);
    entry.name = absl::StrCat("learning_rate of ", entry.name);
    const auto rate = ReadReal(entry, kLearningRates, mistakes);
    complete = complete && size != nullptr && rate;
    if (size == nullptr || !rate) continue;
    if (size->learning_rate > 0) {
      mistakes.Add(entry.line, absl::StrCat(entry.name, " is given twice"));
    }
    size->learning_rate = *rate;
    if (size->params != 0) given[size->params] = *rate;
  }
  // After a mistake in the table its gaps say nothing.
  if (complete) Interpolate(field, given, sizes, mistakes);
}

void ReadRanks(const Field& field, std::vector<SizeChoice>& sizes, Mistakes& mistakes) {
  if (!field.node.IsMap()) {
    const auto ranks = ReadInteger(field, kRanks, mistakes);
    for (SizeChoice& size : sizes) size.ranks = static_cast<int>(ranks.value_or(1));
    return;
  }
  int others = 1;
  std::map<const SizeChoice*, int> given;
  for (Field entry : ReadTable(field, kMostEntries, mistakes)) {
    const bool is_default = entry.name == "default";
    const SizeChoice* size =
        is_default || sizes.empty() ? nullptr : FindSize(field, entry, sizes, mistakes);
    entry.name = absl::StrCat("devices of ", entry.name);
    const auto ranks = ReadInteger(entry, kRanks, mistakes);
    if (!ranks) continue;
    if (is_default) others = static_cast<int>(*ranks);
    if (size == nullptr) continue;
    if (!given.emplace(size, *ranks).second) {
      mistakes.Add(entry.line, absl::StrCat(entry.name, " is given twice"));
    }
  }
  for (SizeChoice& size : sizes) {
    const auto own = given.find(&size);
    size.ranks = own == given.end() ? others : own->second;
  }
}

}  // namespace allometry::sweep
