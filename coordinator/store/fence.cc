#include "coordinator/store/fence.h"

#include "absl/strings/str_format.h"
#include "coordinator/store/names.h"

namespace allometry::store {

absl::StatusOr<FencedAttempt> CheckFence(Connection& db, const v1::Lease& lease) {
  Statement find = db.Prepare(
      "SELECT a.token, a.state, a.stop, a.root_id, a.host, a.start_attempt, a.start_step, "
      "a.durable_sequence, a.spool_ended, r.attempt, r.sweep_id, r.size, r.state, r.tries, "
      "r.lost_leases, r.steps, r.step, a.start_run_id, a.stop_for, a.stop_message, a.got_going "
      "FROM attempts AS a JOIN runs AS r USING (run_id) WHERE a.run_id = ?1 AND a.attempt = ?2");
  find.With(lease.run_id(), lease.attempt());
  if (!find.Step()) {
    ALLO_RETURN_IF_ERROR(find.status());
    return absl::FailedPreconditionError(
        absl::StrFormat("stale: run %d has no attempt %d", lease.run_id(), lease.attempt()));
  }
  if (find.Text(0) != lease.token()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "stale: not the token of attempt %d of run %d", lease.attempt(), lease.run_id()));
  }
  if (find.Int(9) != lease.attempt()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("stale: attempt %d of run %d lost its lease, attempt %d has started",
                        lease.attempt(), lease.run_id(), find.Int(9)));
  }
  FencedAttempt fenced;
  fenced.state = ParseAttemptState(find.Text(1));
  fenced.stop = ParseStopAsked(find.Text(2));
  fenced.root_id = find.Text(3);
  fenced.host = find.Text(4);
  fenced.start_attempt = static_cast<int32_t>(find.Int(5));
  fenced.start_step = find.Int(6);
  fenced.durable_sequence = static_cast<uint64_t>(find.Int(7));
  fenced.spool_ended = find.Int(8) != 0;
  fenced.sweep_id = find.Int(10);
  fenced.size = find.Text(11);
  fenced.run_state = ParseRunState(find.Text(12));
  fenced.tries = find.Text(13);
  fenced.lost_leases = static_cast<int>(find.Int(14));
  fenced.steps = find.Int(15);
  fenced.step = find.Int(16);
  fenced.start_run_id = find.Int(17);
  fenced.stop_for = ParseFailure(find.Text(18));
  fenced.stop_message = find.Text(19);
  fenced.made_progress = find.Int(20) != 0;
  return fenced;
}

}  // namespace allometry::store
