// The end of an attempt, with what it makes of its run, in one transaction.
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

// Stores the end and the run's next state. The rule is asked once for an attempt: an attempt that
// already left LEASED for a lost lease and then delivers an exit record that says the same is not
// counted again, and a run that was cancelled or has failed meanwhile stays so, unless the record
// says that everything is done.
// SUCCEEDED is taken at its word only when every evaluation of the run's spec is stored: when the
// spec grew during the attempt the run is PENDING, otherwise the trainer has a BUG.
absl::Status EndAttempt(Transaction& transaction, const v1::Lease& lease,
                        const FencedAttempt& attempt, const AttemptEnd& end);

}  // namespace allometry::store
