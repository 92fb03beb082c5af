// Stores the end of an attempt and the next state of its run, in one transaction.
#pragma once

#include <string>

#include "coordinator/schedule/after_exit.h"
#include "coordinator/store/fence.h"
#include "coordinator/store/writer.h"

namespace allometry::store {

struct AttemptEnd {
  AttemptState state = AttemptState::kEnded;  // what the attempt becomes: not kLeased
  v1::ExitReason reason = v1::BUG;
  std::string
      message;  // of a failure with the last lines of the log; its first line is the short one
  int64_t step = 0;
};

// Stores the end, and the run's next state by the retry table (schedule/after_exit.h). The table is
// asked once for an attempt: an attempt that lost its lease and later delivers an exit record is
// not counted again. A run that was cancelled or has failed meanwhile stays so, unless the record
// is SUCCEEDED. SUCCEEDED holds only if every evaluation of the run's spec is stored. If one is
// missing because the spec grew during the attempt, the run is PENDING; otherwise the end counts as
// BUG.
absl::Status EndAttempt(Transaction& transaction, const v1::Lease& lease,
                        const FencedAttempt& attempt, const AttemptEnd& end);

}  // namespace allometry::store
