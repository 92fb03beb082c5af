// A table of runs (fitting/data/csv.h) as the request that imports it.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "fitting/data/observation.h"
#include "proto/client.pb.h"

namespace allometry::cli {

// Where a row came from, by its line of the table: "runs.csv:7".
using PlaceOf = std::function<std::string(int64_t line)>;

// The runs of the observations: those of one label, or every row by itself where the table names no
// runs. Cells are the rows that ends_cell marks; where none is marked every row of a table, or with
// `curves` the last of each run. INVALID_ARGUMENT names the place, the value and what is allowed: a
// weight, an N that two rows of a run do not share, two losses of a run at one D.
absl::StatusOr<v1::ImportSweepRequest> ToImportRequest(const fitting::Observations& observations,
                                                       bool curves, const PlaceOf& place);

// Adds the training losses of the same runs. A run that has no held-out loss is passed over.
void AddTrainLosses(const fitting::Observations& observations, v1::ImportSweepRequest& request);

}  // namespace allometry::cli
