// The scheduler's retry table as the store asks for it.
#pragma once

#include "coordinator/schedule/after_exit.h"
#include "coordinator/store/exit_rule.h"

namespace allometry::coordinator {

inline store::NextState ApplyRetryTable(const store::EndedAttempt& ended) {
  const schedule::Outcome outcome = schedule::AfterExit(
      {.reason = ended.reason,
       .message = ended.message,
       .host = ended.host,
       // A command's own failure says nothing about its host, whose trainer is another program.
       .made_progress = ended.made_progress ||
                        ended.spec.identity().settings().contains("trainer.command"),
       .others = !ended.others_made_progress.has_value() ? schedule::OtherRuns::kUnknown
                 : *ended.others_made_progress           ? schedule::OtherRuns::kMadeProgress
                                                         : schedule::OtherRuns::kMadeNone,
       .has_start = ended.has_start,
       .start_may_be_read_elsewhere = ended.start_may_be_read_elsewhere,
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
          .charged_to_host = outcome.charged_to_host,
          .start_is_bad = outcome.start_is_bad,
          .micro_batch = outcome.micro_batch,
          .reason = outcome.reason};
}

}  // namespace allometry::coordinator
