// From a sweep file with a learning-rate ladder to runs and cells.
// coordinator/stages/ladder/ladder.h decides which rates to try and which to take; this file turns
// them into
//
//   tuning runs   one for each size and rate tried: first seed, constant rate, to the tuning
//                 budget; run and cell have the stage "ladder"
//   grid runs     the cells of the file for each size whose rate is chosen, for every seed
//
// Under a constant schedule the grid run at the chosen rate and first seed has the key of a tuning
// run: they are one run here, with the cells of both, so that the grid continues it. A tuning run
// is evaluated at the grid's steps below the tuning budget too, so that no cell has to move then.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"

namespace allometry::sweep {

// A size of the ladder.
struct LadderStep {
  std::string label;
  int64_t params = 0;  // N under the file's policy
  v1::Cell trial;      // the cell of a tuning run; run_id 0
};

// The sizes that have a cell of the grid, by ascending params. InvalidArgument as Expand, and where
// a tuning run cannot be: within the warm-up, or beyond max_epochs.
absl::StatusOr<std::vector<LadderStep>> LadderSteps(const SweepFile& file,
                                                    const data::Manifest& manifest);

// By label of a size.
struct LadderRates {
  std::map<std::string, std::vector<double>> trials;
  std::map<std::string, double> chosen;
};

// Empty `rates` stand for the first rates of the smallest size, as every ladder begins. Tuning runs
// come first.
absl::StatusOr<Expansion> ExpandLadder(const SweepFile& file, const data::Manifest& manifest,
                                       const LadderRates& rates);

}  // namespace allometry::sweep
