// The section `model` of a sweep file: family, window, and sizes, shapes or presets.
#pragma once

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"

namespace allometry::sweep {

// Fills family, context or frames, and sizes; from presets also their learning rates and what they
// agree on: window, objective, batch_sequences. `sections` is every section of the file.
void ReadModel(const Field& model, absl::Span<const Section> sections, SweepFile& file,
               Mistakes& mistakes);

}  // namespace allometry::sweep
