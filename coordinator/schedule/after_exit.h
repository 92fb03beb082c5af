// The retry table: what the end of an attempt makes of its run. Pure.
//
//   reason             then
//   SUCCEEDED          SUCCEEDED
//   DIVERGED           FAILED: kept and shown, never retried by itself (it would diverge again)
//   PREEMPTED          PENDING, free of charge
//   LEASE_LOST         PENDING, free; after max_lost_leases in a row without a new checkpoint
//                      FAILED(NODE_LOST)
//   AGENT_LOST         likewise
//   NODE_LOST          likewise
//   OOM                PENDING with half the micro-batch at the same global batch, free: memory for
//                      activations halves, and there are only log2(share) halvings. With one
//                      sequence at a time a failure; after max_failures FAILED(OOM)
//   KILLED             PENDING, a failure; after max_failures FAILED(KILLED)
//   STALLED            likewise
//   BUG                likewise: a bounded number of retries with the log's last lines stored
//   DEVICE             likewise
//   DISK_FULL          likewise
//   CHECKPOINT         PENDING from the checkpoint before; counts as a failure, bounded likewise
//   DATA               FAILED at once: the same data would fail again; `allo retry` when repaired
//   CANCELLED_BY_USER  CANCELLED
//   LIMIT              FAILED: a limit of its sweep; `allo retry` when that was raised
//   STOPPED_EARLY      FAILED in name only: its curve stays in fits
//
// A run that a user asked to cancel is CANCELLED by any end but SUCCEEDED and DIVERGED. One that
// was asked to stop for LIMIT or STOPPED_EARLY has that reason after any such end, so that a kill
// on the way does not start it again.
#pragma once

#include <cstdint>
#include <string>

#include "proto/types.pb.h"

namespace allometry::schedule {

struct RetryOptions {
  int max_failures = 3;     // this many fail the run
  int max_lost_leases = 5;  // in a row without a new checkpoint: this many fail the run
};

struct Ended {
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  std::string message;
  int failures = 0;     // of the run, before this end
  int lost_leases = 0;  // in a row without a new checkpoint, before this end
  bool cancel_asked = false;
  v1::ExitReason stop_for = v1::EXIT_REASON_UNSPECIFIED;  // LIMIT, STOPPED_EARLY: asked to end so
  std::string stop_message;                               // and why
  int64_t micro_batch = 0;  // sequences that a rank took at once in this attempt; 0: not known
};

struct Outcome {
  v1::RunState state = v1::PENDING;
  v1::ExitReason failure = v1::EXIT_REASON_UNSPECIFIED;  // when state is RUN_FAILED
  int failures = 0;                                      // after it
  int lost_leases = 0;
  bool start_is_bad = false;  // mark the checkpoint that the attempt started from
  int64_t micro_batch = 0;    // of the run's spec from now on; 0: as it is
  std::string reason;         // "failed 1 of 3 times: OOM: ...; starts again"
};

Outcome AfterExit(const Ended& ended, const RetryOptions& options = {});

// How many sequences a rank takes at once under the spec: its micro_batch, or its whole share.
int64_t MicroBatchOf(const v1::RunSpec& spec);

}  // namespace allometry::schedule
