// Wishes that an attempt stop: written into its row, carried by the heartbeat.
#include "coordinator/store/stops.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/store/events.h"
#include "coordinator/store/names.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/run_rows.h"

namespace allometry::store {
absl::Status AskToStop(Transaction& transaction, int64_t run_id, StopAsked stop,
                       int64_t within_ms) {
  transaction.changed_runs.insert(run_id);
  ALLO_RETURN_IF_ERROR(
      transaction.db
          .Prepare("UPDATE attempts SET stop = CASE stop WHEN 'CANCEL' THEN stop ELSE ?2 END, "
                   "stop_within_ms = CASE WHEN ?3 = 0 THEN stop_within_ms "
                   "WHEN stop_within_ms = 0 THEN ?3 ELSE min(stop_within_ms, ?3) END "
                   "WHERE run_id = ?1 AND state = 'LEASED' AND attempt = "
                   "(SELECT attempt FROM runs WHERE runs.run_id = ?1)")
          .With(run_id, StopAskedName(stop), within_ms)
          .Run());
  if (transaction.db.changes() == 1) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("no worker holds run ", run_id));
}

namespace {

absl::Status End(Transaction& transaction, int64_t run_id, v1::ExitReason why,
                 absl::string_view sentence) {
  Connection& db = transaction.db;
  ALLO_ASSIGN_OR_RETURN(const RunRow row, LoadRun(db, run_id));
  if (row.run.state() == v1::LEASED) {
    ALLO_RETURN_IF_ERROR(AskToStop(transaction, run_id, StopAsked::kPreempt, 0));
    ALLO_RETURN_IF_ERROR(db.Prepare("UPDATE attempts SET stop_for = ?3, stop_message = ?4 "
                                    "WHERE run_id = ?1 AND attempt = ?2")
                             .With(run_id, row.run.attempt(), FailureName(why), sentence)
                             .Run());
  } else if (row.run.state() == v1::PENDING) {
    transaction.changed_runs.insert(run_id);
    ALLO_RETURN_IF_ERROR(
        db.Prepare("UPDATE runs SET state = 'FAILED', failure = ?2, reason = ?3 WHERE run_id = ?1")
            .With(run_id, FailureName(why), sentence)
            .Run());
  } else {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " is ", RunStateName(row.run.state()), " already"));
  }
  return InsertEvent(transaction, row.sweep_id, run_id,
                     absl::StrFormat("run %d (%s) %s as %s: %s", run_id, row.run.size(),
                                     row.run.state() == v1::LEASED ? "is asked to end" : "ended",
                                     FailureName(why), sentence));
}

}  // namespace

absl::Status Store::AskToStop(int64_t run_id, StopAsked stop, int64_t within_ms) {
  return parts_->writer->Run([&](Transaction& transaction) {
    return store::AskToStop(transaction, run_id, stop, within_ms);
  });
}

absl::Status Store::EndEarly(int64_t run_id, v1::ExitReason why, absl::string_view sentence) {
  return parts_->writer->Run(
      [&](Transaction& transaction) { return End(transaction, run_id, why, sentence); });
}

}  // namespace allometry::store
