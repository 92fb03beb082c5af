// The one thread that writes to the database. It takes all operations that wait, of all threads,
// and runs them in one transaction (group commit).
//
//   BEGIN IMMEDIATE; for each operation: SAVEPOINT, run, RELEASE or ROLLBACK TO; COMMIT
//
// No delay is added to gather operations: while one group is synced to the disk, the next one
// gathers. Before an operation is acknowledged, the writer checks that the path still leads to the
// file; once it does not, every operation fails. An operation that fails is rolled back alone. If
// the transaction itself fails (disk full, I/O), every operation of the group gets that status and
// is rolled back.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "coordinator/store/database_file.h"
#include "coordinator/store/rows.h"
#include "coordinator/store/sqlite.h"

namespace allometry::store {

// What an operation works with. Lives on the writer's thread.
struct Transaction {
  Connection& db;
  const int64_t now_unix_us;
  std::set<int64_t>& changed_runs;  // ids of runs that `committed` is told about
  // Interned series; the writer forgets them when anything was rolled back.
  std::unordered_map<std::string, int64_t>& series_ids;
};

class Writer {
 public:
  using Operation = std::function<absl::Status(Transaction&)>;
  using Done = std::function<void(absl::Status)>;

  // `committed` and `lost` may be null; see Options in store.h. `file` outlives it.
  Writer(std::unique_ptr<Connection> db, DatabaseFile* file,
         std::function<void(absl::Span<const RunRow>)> committed,
         std::function<void(const absl::Status&)> lost, const Clock* clock);
  // Commits what was handed in, then ends the thread.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // `done` is called once, on the writer's thread, after the commit. An operation may be run again
  // only after its effects were undone, so it may write to its captures but must not add to them.
  void Submit(Operation operation, Done done);
  // Waits for the commit. CHECKs that it is not called from the writer's thread.
  absl::Status Run(Operation operation);

 private:
  struct Pending {
    Operation operation;
    Done done;
    absl::Status status;
  };

  void Loop();
  // Checks the file, and from time to time copies the log into it.
  void MaintainFile();
  void CheckFile();
  void CommitGroup(std::vector<Pending>& group);
  // Runs the operations inside an open transaction; an error means that it is lost as a whole.
  absl::Status RunAll(std::vector<Pending>& group, std::set<int64_t>& changed_runs);
  absl::Status RunOne(Pending& pending, std::set<int64_t>& changed_runs);
  absl::StatusOr<std::vector<RunRow>> LoadChanged(const std::set<int64_t>& changed_runs);

  // Constant after construction; the connection is used by the thread alone.
  const std::unique_ptr<Connection> db_;
  DatabaseFile* const file_;
  const std::function<void(absl::Span<const RunRow>)> committed_;
  const std::function<void(const absl::Status&)> lost_callback_;
  const Clock* const clock_;

  // The thread's own.
  std::unordered_map<std::string, int64_t> series_ids_;
  absl::Status lost_;  // what became of the file; every later operation gets it
  bool log_grew_ = false;
  int64_t maintained_ns_ = 0;
  int64_t copied_ns_ = 0;

  Mutex mutex_;
  ConditionVariable changed_;
  std::deque<Pending> queue_ ALLO_GUARDED_BY(mutex_);
  bool closing_ ALLO_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace allometry::store
