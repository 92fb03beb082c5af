// Runs of experiment trackers as one CSV table that fitting/data/csv.h reads: a row for each step
// of a run that has a loss. Which column is N, D and the loss is decided there.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/tracked_runs.h"

namespace allometry::cli {

struct JoinedTable {
  std::string csv;
  std::vector<std::string> places;  // of the rows: "run a, step 200"
};

// `batch_tokens` is a number or the name of a setting: D = step x that, where no series counts the
// tokens. `columns`: what the person says of columns ("loss=eval_nll", fitting::CsvOptions); those
// are kept whatever they are called. kTrain: of the training losses that lie beside held-out ones;
// no rows where there are none.
enum class LossesOf { kHeldout, kTrain };
absl::StatusOr<JoinedTable> Join(const std::vector<TrackedRun>& runs,
                                 const std::string& batch_tokens,
                                 const std::vector<std::string>& columns, LossesOf which);

}  // namespace allometry::cli
