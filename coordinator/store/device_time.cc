#include "coordinator/store/device_time.h"

#include <vector>

namespace allometry::store {
absl::Status CountDeviceTime(Transaction& transaction, int64_t run_id) {
  Connection& db = transaction.db;
  int64_t before = 0, after = 0, sweep_id = 0;
  {
    // A slot a device: as many as there are names between spaces.
    Statement sum = db.Prepare(
        "SELECT device_us, sweep_id, (SELECT coalesce(sum(max(0, ended_unix_us - started_unix_us) "
        "* (1 + length(slots) - length(replace(slots, ' ', '')))), 0) FROM attempts "
        "WHERE attempts.run_id = runs.run_id AND state <> 'LEASED') FROM runs WHERE run_id = ?1");
    sum.With(run_id);
    if (!sum.Step()) return sum.status();
    before = sum.Int(0);
    sweep_id = sum.Int(1);
    after = sum.Int(2);
  }
  if (after == before) return absl::OkStatus();
  ALLO_RETURN_IF_ERROR(
      db.Prepare("UPDATE runs SET device_us = ?2 WHERE run_id = ?1").With(run_id, after).Run());
  return db.Prepare("UPDATE sweeps SET device_us = device_us + ?2 WHERE sweep_id = ?1")
      .With(sweep_id, after - before)
      .Run();
}

absl::Status ReopenWithinLimit(Transaction& transaction, int64_t sweep_id) {
  std::vector<int64_t> within;
  {
    Statement list = transaction.db.Prepare(
        "SELECT run_id FROM runs JOIN sweeps USING (sweep_id) WHERE sweep_id = ?1 "
        "AND state = 'FAILED' AND failure = 'LIMIT' "
        "AND (max_run_hours <= 0 OR runs.device_us < max_run_hours * 3.6e9)");
    list.With(sweep_id);
    while (list.Step()) within.push_back(list.Int(0));
    ALLO_RETURN_IF_ERROR(list.status());
  }
  for (const int64_t run_id : within) {
    transaction.changed_runs.insert(run_id);
    ALLO_RETURN_IF_ERROR(
        transaction.db
            .Prepare("UPDATE runs SET state = 'PENDING', failure = '', failures = 0, "
                     "tries = '', lost_leases = 0, reason = 'its limit was raised: goes on from "
                     "its last "
                     "checkpoint' WHERE run_id = ?1")
            .With(run_id)
            .Run());
  }
  return absl::OkStatus();
}

}  // namespace allometry::store
