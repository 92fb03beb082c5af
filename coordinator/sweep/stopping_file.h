// The section `stopping` of a sweep file: which cells of the grid need not be trained
// (docs/sweep-file.md, "Stopping early").
#pragma once

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"

namespace allometry::sweep {

inline constexpr absl::string_view kStoppingKeys[] = {"frontier", "margin"};

// Reads it into file.stopping, which stays empty for `frontier: false`. Last of all sections: it
// needs budgets in FLOPs, at least three, a constant schedule and rates that are given.
void ReadStopping(const Field& stopping, absl::Span<const Section> sections, SweepFile& file,
                  Mistakes& mistakes);

}  // namespace allometry::sweep
