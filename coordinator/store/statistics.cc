// Counts for the metrics.
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "absl/strings/str_cat.h"
#include "coordinator/store/parts.h"

namespace allometry::store {
namespace {

int64_t SizeOf(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<int64_t>(info.st_size) : 0;
}

absl::Status CountRuns(Connection& db, Statistics& statistics) {
  for (const char* state : {"PENDING", "LEASED", "SUCCEEDED", "FAILED", "CANCELLED"}) {
    statistics.runs[state] = 0;  // a series that comes and goes is no series
  }
  Statement count = db.Prepare("SELECT state, count(*) FROM runs GROUP BY state");
  while (count.Step()) statistics.runs[count.Text(0)] = count.Int(1);
  return count.status();
}

absl::Status CountSweeps(Connection& db, Statistics& statistics) {
  {
    Statement count = db.Prepare("SELECT count(*) FROM sweeps");
    if (count.Step()) statistics.sweeps = count.Int(0);
    ALLO_RETURN_IF_ERROR(count.status());
  }
  Statement list = db.Prepare(
      "SELECT name, (SELECT count(*) FROM runs AS r WHERE r.sweep_id = s.sweep_id "
      "AND r.state IN ('PENDING', 'LEASED')), (SELECT count(*) FROM runs AS r "
      "WHERE r.sweep_id = s.sweep_id AND r.state = 'FAILED'), (SELECT coalesce(max("
      "created_unix_us), 0) FROM fits AS f WHERE f.sweep_id = s.sweep_id) FROM sweeps AS s "
      "WHERE NOT archived AND NOT deleting ORDER BY sweep_id");
  while (list.Step()) {
    statistics.by_sweep.push_back({list.Text(0), list.Int(1), list.Int(2), list.Int(3)});
  }
  return list.status();
}

}  // namespace

absl::StatusOr<Statistics> Store::ReadStatistics() const {
  Statistics statistics;
  ALLO_RETURN_IF_ERROR(parts_->readers->Run([&](Connection& db) -> absl::Status {
    ALLO_RETURN_IF_ERROR(CountRuns(db, statistics));
    ALLO_RETURN_IF_ERROR(CountSweeps(db, statistics));
    ALLO_ASSIGN_OR_RETURN(const int64_t pages, db.QueryInt("PRAGMA freelist_count"));
    ALLO_ASSIGN_OR_RETURN(const int64_t page_bytes, db.QueryInt("PRAGMA page_size"));
    statistics.unused_bytes = pages * page_bytes;
    return absl::OkStatus();
  }));
  const std::string& path = parts_->file->path();
  statistics.database_bytes = SizeOf(path) + SizeOf(absl::StrCat(path, "-wal"));
  struct statvfs disk {};
  if (statvfs(path.c_str(), &disk) == 0) {
    statistics.disk_free_bytes =
        static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
  }
  statistics.points_stored = parts_->points_stored;
  return statistics;
}

}  // namespace allometry::store
