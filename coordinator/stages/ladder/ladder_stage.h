// Applies the ladder's rule (ladder.h) to the rows of a sweep. Pure.
//
// The rule reads the held-out losses at the tuning runs' last steps and nothing else. A rate that
// was chosen is stored with what it was chosen from, as JSON in an expansion of kind "stage", and
// stays whatever the file says later:
//
//   {"stage": "ladder", "rule": "...", "sentences": ["20k: 0.006, of ..."],
//    "inputs": [{"size", "learning_rate", "run_key", "step", "state", "loss"}],
//    "chosen": {"5k": 0.012, "20k": 0.006},            all so far
//    "tried": {"5k": [0.006, 0.012, 0.024], ...},       of those chosen
//    "asks": [{"size", "learning_rate"}]}               tuning runs added now
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/status.h"
#include "coordinator/stages/ladder/ladder.h"
#include "coordinator/stages/stage.h"
#include "coordinator/store/rows.h"
#include "coordinator/sweep/ladder_expansion.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "proto/types.pb.h"

namespace allometry::coordinator {

// The current state of a sweep's ladder.
struct LadderView {
  stages::LadderRule rule;
  std::vector<stages::LadderSize> sizes;  // by ascending params; `decided` as stored
  stages::LadderDecision decision;
  stages::LadderCost cost;  // of the sizes that are not decided
  std::string tune;         // "2M tokens"
  sweep::LadderRates
      as_stored;  // runs to be asked for now; only the rates that are stored as chosen
  sweep::LadderRates as_decided;  // and those that the rule chooses now
  bool decides = false;           // it chooses a rate that is not stored
};

// `decisions` are the texts of the sweep's "stage" expansions, oldest first; of a new sweep all
// spans are empty. The file has a ladder. Errors as sweep::LadderSteps; DataLoss for a damaged
// decision.
absl::StatusOr<LadderView> ViewLadder(const sweep::SweepFile& file, const data::Manifest& manifest,
                                      absl::Span<const v1::Run> runs,
                                      absl::Span<const v1::Cell> cells,
                                      absl::Span<const std::string> decisions);

// What people see of it.
v1::StageResult ToStageResult(const LadderView& view);
// What is stored of it. `runs` and `cells` are those that it was made from.
std::string LadderDecisionJson(const LadderView& view, absl::Span<const v1::Run> runs,
                               absl::Span<const v1::Cell> cells);

}  // namespace allometry::coordinator
