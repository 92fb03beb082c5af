// The settings of runs that a sweep file sets, read by the rows of run/fields.h.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <type_traits>

#include "coordinator/sweep/yaml_fields.h"
#include "run/fields.h"

namespace allometry::sweep {

template <run::SetIn section, class Owner>
consteval size_t CountSettings() {
  size_t count = 0;
  run::ForEach(run::FieldsOf(static_cast<const Owner*>(nullptr)),
               [&](const auto& row) { count += row.set_in == section ? 1 : 0; });
  return count;
}

// The keys of a section: the names of its rows, after those that are read otherwise.
template <run::SetIn section, class Owner, size_t own_count>
consteval auto SettingKeys(const std::array<absl::string_view, own_count>& own) {
  std::array<absl::string_view, own_count + CountSettings<section, Owner>()> keys;
  auto next = std::copy(own.begin(), own.end(), keys.begin());
  run::ForEach(run::FieldsOf(static_cast<const Owner*>(nullptr)), [&](const auto& row) {
    if (row.set_in == section) *next++ = row.name;
  });
  return keys;
}

// A value that its row does not allow is a mistake; the setting keeps its default.
template <run::SetIn section, class Owner>
void ReadSettings(const Fields& fields, Owner* owner) {
  run::ForEach(run::FieldsOf(static_cast<const Owner*>(owner)), [&](const auto& row) {
    if (row.set_in != section) return;
    auto& value = owner->*row.member;
    using T = std::decay_t<decltype(value)>;
    const Range range{row.allowed.low, row.allowed.high, row.allowed.open_low,
                      row.allowed.open_high};
    if constexpr (std::is_same_v<T, bool>) {
      fields.Flag(row.name, &value);
    } else if constexpr (std::is_integral_v<T>) {
      fields.Integer(row.name, range, &value);
    } else if constexpr (std::is_floating_point_v<T>) {
      fields.Real(row.name, range, &value);
    } else if constexpr (run::IsChoice<T>) {
      fields.Choice(row.name, &value);
    }
  });
}

}  // namespace allometry::sweep
