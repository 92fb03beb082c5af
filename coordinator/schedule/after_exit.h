// The retry table: the next state of a run whose attempt has ended. Pure.
//
//   exit reason        next state of the run
//   SUCCEEDED          SUCCEEDED
//   DIVERGED           FAILED; never retried automatically, because it would diverge again
//   UNFIT_MODEL        FAILED; never retried automatically, because the model would be the same
//   PREEMPTED          PENDING, not counted as a failure
//   LEASE_LOST,        PENDING, not counted as a failure; after max_lost_leases in a row without a
//   AGENT_LOST,        new checkpoint FAILED(NODE_LOST)
//   NODE_LOST
//   OOM                PENDING with half the micro-batch at the same global batch, not counted as a
//                      failure: activations need half the memory, and a batch can be halved only
//                      log2 times. With a micro-batch of one sequence it is a failure; after
//                      max_failures FAILED(OOM). Never charged to a host: the message must name a
//                      model that fits nowhere
//   DISK_FULL          PENDING, charged to the host
//   CHECKPOINT         PENDING, not counted as a failure. The checkpoint that the attempt started
//                      from is marked bad, and the next attempt starts from the one before. If
//                      another host has the same run root, it is marked bad only after a second
//                      attempt could not read it
//   KILLED, STALLED,   PENDING, one failure; after max_failures of one reason since the last new
//   BUG, DEVICE, DATA, checkpoint FAILED, with the last line of the log
//   ENVIRONMENT
//   CANCELLED_BY_USER  CANCELLED
//   LIMIT              FAILED: a limit of its sweep is used up. `allo retry` after it was raised
//   STOPPED_EARLY      FAILED; fits still read its curve
//
// Run or host. An attempt that ends before its first stored point, for a reason that a host can
// cause (HostMayBeAtFault), is judged by the newest attempt of another run on that host. If that
// one stored a point, the run is at fault and the table above holds. Otherwise, or if there is
// none, the host is at fault: the end is charged to the host, the run waits without a counted
// failure, and the host gets no runs for a while (host_backoff.h).
//
// A run that a user asked to cancel becomes CANCELLED after any end but SUCCEEDED and DIVERGED. A
// run that was asked to stop for LIMIT or STOPPED_EARLY gets that reason after any such end, so
// that a kill in between does not start it again.
#pragma once

#include <cstdint>
#include <string>

#include "proto/types.pb.h"

namespace allometry::schedule {

struct RetryOptions {
  int max_failures = 3;     // this many of one reason without a new checkpoint fail the run
  int max_lost_leases = 5;  // in a row without a new checkpoint: this many fail the run
};

// Whether the newest attempt of another run on the host stored a point. kUnknown: there is none.
enum class OtherRuns { kUnknown, kMadeProgress, kMadeNone };

struct Ended {
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  std::string message;
  std::string host;
  bool made_progress = true;               // a point of this attempt is stored
  OtherRuns others = OtherRuns::kUnknown;  // on this host
  // Set where the attempt started from a checkpoint, another host has the same run root, and no
  // earlier attempt failed to read that checkpoint.
  bool has_start = false;
  bool start_may_be_read_elsewhere = false;
  int failures = 0;     // for this reason since the last new checkpoint, before this end
  int lost_leases = 0;  // in a row without a new checkpoint, before this end
  bool cancel_asked = false;
  v1::ExitReason stop_for = v1::EXIT_REASON_UNSPECIFIED;  // LIMIT, STOPPED_EARLY: asked to end so
  std::string stop_message;                               // and why
  int64_t micro_batch = 0;  // sequences that a rank took at once in this attempt; 0: not known
};

struct Outcome {
  v1::RunState state = v1::PENDING;
  v1::ExitReason failure = v1::EXIT_REASON_UNSPECIFIED;  // when state is RUN_FAILED
  int failures = 0;                                      // for this reason, after it
  int lost_leases = 0;
  bool charged_to_host = false;
  bool start_is_bad = false;  // mark the checkpoint that the attempt started from
  int64_t micro_batch = 0;    // of the run's spec from now on; 0: as it is
  std::string reason;         // "failed 1 of 3 times: OOM: ...; starts again"
};

// Whether a host can cause an end with this reason.
bool HostMayBeAtFault(v1::ExitReason reason);

Outcome AfterExit(const Ended& ended, const RetryOptions& options = {});

// How many sequences a rank takes at once under the spec: its micro_batch, or its whole share.
int64_t MicroBatchOf(const v1::RunSpec& spec);

}  // namespace allometry::schedule
