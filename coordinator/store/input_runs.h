// What runs need of each other (DESIGN 5), in the rows: which checkpoints a branch may start from,
// which is a tokenizer's artifact, whether one is still to come, and which must be kept. On a
// connection inside a transaction.
//
// A branch may start from every good checkpoint of its trunk up to its own decay_begin, whichever
// attempt wrote it: up to there the two are one recipe. A tokenizer's artifact is its checkpoint
// at its last step; without it nothing that reads its tokens can start.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/status.h"
#include "coordinator/store/rows.h"
#include "coordinator/store/sqlite.h"
#include "run/choices.h"

namespace allometry::store {

// The run's input of that kind as it is now; unset: it has none.
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

// The first of spec.checkpoint_steps that the run never wrote. One that was written and is bad or
// deleted by now is not written again: who needs it starts from an earlier one.
absl::StatusOr<std::optional<int64_t>> FirstMissingCheckpoint(Connection& db, int64_t run_id,
                                                              const v1::RunSpec& spec);

// PENDING runs that have this one as an input, by run_id: what they wait for may have come.
absl::StatusOr<std::vector<int64_t>> WaitingFor(Connection& db, int64_t run_id);

// (attempt, step) of the run's checkpoints under the root that its branches need: for each one that
// has not SUCCEEDED, where it would start, and where its attempt under way did.
absl::StatusOr<std::set<std::pair<int32_t, int64_t>>> NeededByBranches(Connection& db,
                                                                       int64_t run_id,
                                                                       absl::string_view root_id);

}  // namespace allometry::store
