// The check that every write of an attempt must pass, in the transaction of the write.
#pragma once

#include "base/status.h"
#include "coordinator/store/rows.h"
#include "coordinator/store/sqlite.h"

namespace allometry::store {

// The columns of an attempt and its run that a write needs.
struct FencedAttempt {
  AttemptState state = AttemptState::kLeased;
  StopAsked stop = StopAsked::kNone;
  v1::ExitReason stop_for = v1::EXIT_REASON_UNSPECIFIED;  // the run is not to go on, for this
  std::string stop_message;
  std::string root_id;
  std::string host;
  int64_t start_run_id = 0;   // whose checkpoint it started from; 0: its own
  int32_t start_attempt = 0;  // 0: it started from step 0
  int64_t start_step = 0;
  uint64_t durable_sequence = 0;
  bool spool_ended = false;
  int64_t sweep_id = 0;
  std::string size;
  v1::RunState run_state = v1::PENDING;
  std::string tries;  // the run's failures since its last checkpoint (Tries)
  int lost_leases = 0;
  bool made_progress = false;  // a point of it is stored
  int64_t steps = 0;           // of the run's spec
  int64_t step = 0;            // newest durable
};

// FailedPrecondition: the attempt is not the newest of its run, or the token is not its token.
absl::StatusOr<FencedAttempt> CheckFence(Connection& db, const v1::Lease& lease);

}  // namespace allometry::store
