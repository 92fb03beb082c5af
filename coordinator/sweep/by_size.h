// Settings that may differ by model size: a number for all sizes, or a table keyed by size.
//
// A key names a size by its label or, of sizes given as counts, by the same count (5k and 5000).
#pragma once

#include <vector>

#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"

namespace allometry::sweep {

// learning_rate: a number, or {5k: 1e-2, 320k: 2e-3}. Of sizes given as counts the ones between two
// given are interpolated, linear in log(rate) over log(asked parameters), rounded to three
// significant digits; a size outside them is a mistake. Shapes must all be in the table.
void ReadLearningRates(const Field& field, std::vector<SizeChoice>& sizes, Mistakes& mistakes);

// devices: a number, or {default: 1, 320k: 2}; without `default` the other sizes take one.
void ReadRanks(const Field& field, std::vector<SizeChoice>& sizes, Mistakes& mistakes);

}  // namespace allometry::sweep
