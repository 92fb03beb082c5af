// The versioned schema: an SQL script for each step from one version to the next.
//
// PRAGMA user_version is the version, PRAGMA application_id says that the file is ours. A new file
// gets every script in one transaction; an older one first gets a copy beside it, at
// PATH.v<version>.backup, and then the missing scripts in one transaction.
#pragma once

#include "absl/types/span.h"
#include "coordinator/store/sqlite.h"

namespace allometry::store {

// "ALLO". Stored: do not change.
inline constexpr int64_t kApplicationId = 0x414c4c4f;

// Script i makes version i + 1 from version i. Stored: never edit one that was released, add one.
absl::Span<const char* const> Migrations();

// Ids of the series that the store itself reads, given by the first script.
// Stored: do not renumber.
inline constexpr int64_t kHeldoutSeries = 1;
inline constexpr int64_t kTrainSeries = 2;
inline constexpr int64_t kTokensPerSecondSeries = 3;

// Brings the file to version migrations.size(). FailedPrecondition, nothing touched: it is newer
// than that, or another program's database.
absl::Status Migrate(Connection& db, absl::Span<const char* const> migrations);

}  // namespace allometry::store
