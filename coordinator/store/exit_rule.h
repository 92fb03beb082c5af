// What the end of an attempt makes of its run. The store asks in the same transaction that stores
// the end, so that an exit record and the run's next state become durable together; the answer is
// the scheduler's retry table (coordinator/schedule/after_exit.h), which the store may not know.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "proto/types.pb.h"

namespace allometry::store {

struct EndedAttempt {
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  std::string message;
  std::string host;
  bool made_progress = false;                // a point of this attempt is stored
  std::optional<bool> others_made_progress;  // the newest attempt of another run there; unset: none
  bool has_start = false;                    // it started from a checkpoint,
  bool start_may_be_read_elsewhere = false;  // that no attempt failed to read, on a shared run root
  int failures = 0;     // for this reason since the last new checkpoint, before this end
  int lost_leases = 0;  // in a row without a new checkpoint, before this end
  bool cancel_asked = false;
  v1::ExitReason stop_for = v1::EXIT_REASON_UNSPECIFIED;  // LIMIT, STOPPED_EARLY: asked to end so
  std::string stop_message;                               // and why
  v1::RunSpec spec;                                       // of the attempt
};

struct NextState {
  v1::RunState state = v1::PENDING;
  v1::ExitReason failure = v1::EXIT_REASON_UNSPECIFIED;  // when state is RUN_FAILED
  int failures = 0;                                      // for this reason, after it
  int lost_leases = 0;
  bool charged_to_host = false;
  bool start_is_bad = false;  // the checkpoint it started from is never chosen again
  int64_t micro_batch = 0;    // of the run's spec from now on; 0: as it is
  std::string reason;         // a sentence, stored with the run
};

// Pure: called on the writer's thread, once or more for one end.
using ExitRule = std::function<NextState(const EndedAttempt&)>;

}  // namespace allometry::store
