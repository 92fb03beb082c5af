// What runs need of each other (DESIGN 5), from the rows: which checkpoints a branch may start
// from, which one is a tokenizer's artifact or the model of a policy, whether it is still to be
// written, and which checkpoints must be kept. Call on a connection inside a transaction.
//
// A branch may start from every good checkpoint of its trunk up to its own decay_begin, whichever
// attempt wrote it: up to that step both are trained alike. A tokenizer's artifact is its
// checkpoint at its last step, the model of a policy its input's checkpoint at just the wanted
// step. Runs that need those cannot start without them, nor runs that evaluate checkpoints without
// those.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "coordinator/store/rows.h"
#include "coordinator/store/sqlite.h"
#include "run/choices.h"

namespace allometry::store {

// The run's input of that kind as it is now; unset: it has none. Of a run whose checkpoints it
// evaluates without root_ids, which depend on the steps that are still to be evaluated.
absl::StatusOr<std::optional<InputRun>> LoadInput(Connection& db, int64_t run_id,
                                                  run::InputKind kind);

// The tokenizer of this recipe, of whichever sweep, that is trained or will be: not a failed or
// cancelled one, nor one whose file is lost. Trained ones first, then the oldest; 0: there is none.
absl::StatusOr<int64_t> UsableTokenizer(Connection& db, absl::string_view run_key);

// The newest good checkpoint of run `run_id` up to `last_step` under `root_id` (empty: any), with
// Checkpoint.run_id set.
absl::StatusOr<std::optional<v1::Checkpoint>> NewestCheckpoint(Connection& db, int64_t run_id,
                                                               int64_t last_step,
                                                               absl::string_view root_id);

// The first of spec.checkpoint_steps that the run never wrote. A checkpoint that was written and is
// bad or deleted by now is not written again; runs that need it start from an earlier one.
absl::StatusOr<std::optional<int64_t>> FirstMissingCheckpoint(Connection& db, int64_t run_id,
                                                              const v1::RunSpec& spec);

// The run roots, sorted, under which a good checkpoint of each of those steps lies.
absl::StatusOr<std::vector<std::string>> RootsWithAll(Connection& db, int64_t run_id,
                                                      const std::vector<int64_t>& steps);

// PENDING runs that have this one as an input, by run_id.
absl::StatusOr<std::vector<int64_t>> WaitingFor(Connection& db, int64_t run_id);

// (attempt, step) of the checkpoints under the root that are kept for evaluations: of each of
// spec.checkpoint_steps the newest good one, where spec.keep_checkpoints.
absl::StatusOr<std::set<std::pair<int32_t, int64_t>>> KeptForEvaluations(Connection& db,
                                                                         int64_t run_id,
                                                                         const v1::RunSpec& spec,
                                                                         absl::string_view root_id);

// (attempt, step) of the run's checkpoints under the root that its branches and the policies in it
// need: for each that has not SUCCEEDED, the one it would start from, and the one its running
// attempt started from.
absl::StatusOr<std::set<std::pair<int32_t, int64_t>>> NeededByBranches(Connection& db,
                                                                       int64_t run_id,
                                                                       absl::string_view root_id);

}  // namespace allometry::store
