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
//                      (never charged to a host: a model that fits nowhere is to be named)
//   DISK_FULL          PENDING, charged to the host: no run fills a disk that had room for it
//   CHECKPOINT         PENDING, free. The checkpoint that the attempt started from is bad from then
//                      on, and the next attempt starts from the one before; where another host has
//                      the same run root, it is bad after a second attempt could not read it
//   KILLED, STALLED,   PENDING, a failure; after max_failures of one reason since the last
//   BUG, DEVICE, DATA  checkpoint that was written FAILED, with the log's last line
//   CANCELLED_BY_USER  CANCELLED
//   LIMIT              FAILED: a limit of its sweep; `allo retry` when that was raised
//   STOPPED_EARLY      FAILED in name only: its curve stays in fits
//
// Whose fault it is. An attempt that ends before its first point of a curve, for a reason that a
// host can cause (HostMayBeAtFault), is judged by the newest attempt of another run on that host.
// If that one got going, the run is at fault and the table above holds. If it did not, or there is
// none, the host is: the run waits free of charge, and the host rests (host_rest.h).
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
  int max_failures = 3;     // this many of one reason without a new checkpoint fail the run
  int max_lost_leases = 5;  // in a row without a new checkpoint: this many fail the run
};

// What the newest attempt of another run says of a host: kUnknown where there is none.
enum class OtherRuns { kUnknown, kMadeProgress, kMadeNone };

struct Ended {
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  std::string message;
  std::string host;
  bool made_progress = true;               // a point of this attempt is stored
  OtherRuns others = OtherRuns::kUnknown;  // on this host
  // Of an attempt that started from a checkpoint: another host has its run root, and no attempt
  // before failed to read it.
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

// Whether a host can be the cause of such an end.
bool HostMayBeAtFault(v1::ExitReason reason);

Outcome AfterExit(const Ended& ended, const RetryOptions& options = {});

// How many sequences a rank takes at once under the spec: its micro_batch, or its whole share.
int64_t MicroBatchOf(const v1::RunSpec& spec);

}  // namespace allometry::schedule
