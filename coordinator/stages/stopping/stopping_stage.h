// Applies the rule of frontier-aware stopping (stopping.h) to the rows of a sweep. Pure.
//
// The rule reads the held-out losses at the ends of the file's cells and nothing else. What it
// decided is stored as JSON in an expansion of kind "stage"; a size that stopped stays so while the
// file asks for stopping at all, and what was granted is trained:
//
//   {"stage": "stopping", "rule": "...", "sentences": {"5k": "5k: stopped early after ..."},
//    "inputs": [{"size", "flops", "run_key", "step", "state", "loss"}],
//    "granted": {"5k": 1e11, "20k": 3e11},     FLOPs of the largest budget, all sizes
//    "stopped": {"5k": 1e11}}                  all so far
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/status.h"
#include "coordinator/stages/stage.h"
#include "coordinator/stages/stopping/stopping.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "proto/types.pb.h"

namespace allometry::coordinator {

// stopping: {frontier: true} of a sweep file (docs/sweep-file.md, "Stopping early"). It goes with
// at least three budgets in FLOPs, a constant schedule and rates that are given.
struct StoppingChoice : sweep::StageChoice {
  stages::StoppingRule rule;

  bool SameAs(const sweep::StageChoice& other) const override;
};
// nullptr: the file does not ask for it.
const StoppingChoice* StoppingIn(const sweep::SweepFile& file);

// The current state of a sweep's stopping.
struct StoppingView {
  stages::StoppingRule rule;
  stages::StoppingDecision decision;
  std::vector<v1::Cell> inputs;           // cells of the file's grid as stored, in their order
  std::vector<v1::Run> runs;              // those of `inputs`
  sweep::Expansion as_stored;             // what the stored decisions grant
  sweep::Expansion as_decided;            // and what the rule grants now
  std::map<std::string, double> granted;  // FLOPs of a size's largest budget, as decided
  double withheld_flops = 0;              // of cells that sizes which stopped do not train
  bool decides = false;                   // a size stops that has not stopped in what is stored
};

// `decisions` are the texts of the sweep's "stage" expansions, oldest first; of a new sweep all
// spans are empty. The file asks for stopping. Errors as sweep::Expand; DataLoss for a damaged
// decision.
absl::StatusOr<StoppingView> ViewStopping(const sweep::SweepFile& file,
                                          const data::Manifest& manifest,
                                          absl::Span<const v1::Run> runs,
                                          absl::Span<const v1::Cell> cells,
                                          absl::Span<const std::string> decisions);

// What people see of it, and what is stored.
v1::StageResult ToStageResult(const StoppingView& view);
std::string StoppingDecisionJson(const StoppingView& view);
// The sizes that have stopped, with after how many FLOPs: of the newest decision.
absl::StatusOr<std::map<std::string, double>> StoppedSizes(absl::Span<const std::string> decisions);

}  // namespace allometry::coordinator
