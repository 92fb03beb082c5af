// The scheduler's retry table as the store asks for it.
#pragma once

#include "coordinator/schedule/after_exit.h"
#include "coordinator/store/exit_rule.h"

namespace allometry::coordinator {

inline store::NextState ApplyRetryTable(const store::EndedAttempt& ended) {
  const schedule::Outcome outcome =
      schedule::AfterExit({.reason = ended.reason,
                            .message = ended.message,
                            .failures = ended.failures,
                            .lost_leases = ended.lost_leases,
                            .cancel_asked = ended.cancel_asked,
                            .stop_for = ended.stop_for,
                            .stop_message = ended.stop_message,
                            .micro_batch = schedule::MicroBatchOf(ended.spec)});
  return {.state = outcome.state,
          .failure = outcome.failure,
          .failures = outcome.failures,
          .lost_leases = outcome.lost_leases,
          .start_is_bad = outcome.start_is_bad,
          .micro_batch = outcome.micro_batch,
          .reason = outcome.reason};
}

}  // namespace allometry::coordinator
