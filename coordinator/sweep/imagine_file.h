// The section `imagine` of a sweep file: policies that are trained in the world models of the grid
// once those are trained (docs/sweep-file.md, "Policies").
#pragma once

#include <array>

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/settings.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"

namespace allometry::sweep {

inline constexpr std::array<absl::string_view, 5> kOwnImagineKeys = {
    "updates", "teachers", "seeds", "learning_rate", "evaluations"};
inline constexpr auto kImagineKeys =
    SettingKeys<run::SetIn::kImagine, run::PolicyRecipe>(kOwnImagineKeys);

// Reads it into file.imagine; every mistake is added and reading goes on. `sections` is every
// section of the file.
void ReadImagine(const Field& imagine, absl::Span<const Section> sections, SweepFile& file,
                 Mistakes& mistakes);

}  // namespace allometry::sweep
