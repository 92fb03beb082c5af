// A part of a sweep file whose names and values are the author's own, as JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/strings/string_view.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/yaml_fields.h"

namespace allometry::sweep {

inline constexpr size_t kMostEntries = 500;

// A mistake where the field is no map; `what` says what is expected of it.
bool IsMapOf(const Field& field, absl::string_view what, Mistakes& mistakes);

// The map as an object. Values keep their YAML type: quoted text stays text. At most kMostEntries
// entries, at most 8 levels deep.
nlohmann::json ReadObject(const Field& field, absl::string_view what, Mistakes& mistakes);

}  // namespace allometry::sweep
