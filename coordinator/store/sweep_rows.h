// Reads sweeps from the database. The connection must be inside a transaction.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "coordinator/store/sqlite.h"
#include "proto/types.pb.h"

namespace allometry::store {

// That a deletion of the sweep has begun: FailedPrecondition.
absl::Status BeingDeleted(absl::string_view name);
// NotFound lists the names there are, newest first. FailedPrecondition: BeingDeleted.
absl::StatusOr<int64_t> FindSweep(Connection& db, absl::string_view name);
// With their counts, tags and best losses, by sweep_id; 0 is every one. device_seconds includes
// what LEASED attempts have used by `now_unix_us`.
absl::StatusOr<std::vector<v1::Sweep>> LoadSweeps(Connection& db, int64_t sweep_id,
                                                  int64_t now_unix_us);

}  // namespace allometry::store
