// Runs and attempts read from their rows, and the questions about a run that several operations
// ask. All on a connection inside a transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "base/status.h"
#include "coordinator/store/rows.h"
#include "coordinator/store/sqlite.h"

namespace allometry::store {

// Bytes of a run's reason: a reply lists ten thousand.
inline constexpr size_t kLongestReason = 2000;

// NotFound: no such run.
absl::StatusOr<RunRow> LoadRun(Connection& db, int64_t run_id);
// PENDING and LEASED ones of all sweeps, by run_id.
absl::StatusOr<std::vector<RunRow>> LoadOpenRuns(Connection& db);
// device_seconds includes what LEASED attempts have used by `now_unix_us`.
absl::StatusOr<std::vector<v1::Run>> LoadRunsOfSweep(Connection& db, int64_t sweep_id,
                                                     int64_t now_unix_us);

// The runs of `run_ids` that are of the sweep, in their order. Otherwise as LoadRunsOfSweep.
absl::StatusOr<std::vector<v1::Run>> LoadSomeRuns(Connection& db, int64_t sweep_id,
                                                  absl::Span<const int64_t> run_ids,
                                                  int64_t now_unix_us);

// Of the columns attempt, step, file, hash, bytes and root_id, the first of them `first`.
v1::Checkpoint ReadCheckpoint(const Statement& row, int first);

// NotFound: no such attempt.
absl::StatusOr<Attempt> LoadAttempt(Connection& db, int64_t run_id, int32_t attempt);
absl::StatusOr<std::vector<Attempt>> LoadAttempts(Connection& db, int64_t run_id);

// The steps of spec.evaluation_steps without a finite held-out loss on the clean curve, ascending.
absl::StatusOr<std::vector<int64_t>> MissingEvaluations(Connection& db, int64_t run_id,
                                                        const v1::RunSpec& spec);
// Of a run that evaluates: those, or the last step where none is missing, as of a run whose attempt
// was lost before its end was told.
absl::StatusOr<std::vector<int64_t>> StepsToEvaluate(Connection& db, int64_t run_id,
                                                     const v1::RunSpec& spec);
// The first of them.
absl::StatusOr<std::optional<int64_t>> FirstMissingEvaluation(Connection& db, int64_t run_id,
                                                              const v1::RunSpec& spec);

// The checkpoint that an attempt under `root_id` would start from: the newest GOOD one on the clean
// curve (not beyond the run's newest durable step) and before the first missing evaluation and
// checkpoint; of a branch also its trunk's, up to decay_begin, with run_id set. Unset: step 0. An
// empty root_id looks at every root.
absl::StatusOr<std::optional<v1::Checkpoint>> StartCheckpoint(Connection& db, const RunRow& row,
                                                              absl::string_view root_id);

}  // namespace allometry::store
