#include "coordinator/store/writer.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "coordinator/store/input_runs.h"
#include "coordinator/store/run_rows.h"

namespace allometry::store {
namespace {

// Bounds the memory of a savepoint journal and the time to the first ack of a group.
constexpr size_t kLargestGroup = 512;
// How often an idle writer looks whether the file is still there, and the log is copied into it: a
// log that is lost with its machine costs this much.
constexpr auto kLookEvery = std::chrono::seconds(1);
constexpr int64_t kCopyLogEveryNs = 5'000'000'000;

}  // namespace

Writer::Writer(std::unique_ptr<Connection> db, DatabaseFile* file,
               std::function<void(absl::Span<const RunRow>)> committed,
               std::function<void(const absl::Status&)> lost, const Clock* clock)
    : db_(std::move(db)),
      file_(file),
      committed_(std::move(committed)),
      lost_callback_(std::move(lost)),
      clock_(clock),
      thread_([this] { Loop(); }) {}

Writer::~Writer() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void Writer::Submit(Operation operation, Done done) {
  MutexLock lock(mutex_);
  ALLO_CHECK(!closing_) << "a write after the store was closed";
  queue_.push_back({std::move(operation), std::move(done), absl::OkStatus()});
  changed_.NotifyOne();
}

absl::Status Writer::Run(Operation operation) {
  ALLO_CHECK(std::this_thread::get_id() != thread_.get_id())
      << "a callback of the store waits for the store's writer";
  std::promise<absl::Status> result;
  Submit(std::move(operation),
         [&result](absl::Status status) { result.set_value(std::move(status)); });
  return result.get_future().get();
}

void Writer::Loop() {
  for (;;) {
    std::vector<Pending> group;
    {
      MutexLock lock(mutex_);
      if (queue_.empty() && !closing_) changed_.WaitFor(lock, kLookEvery);
      if (queue_.empty() && closing_) break;
      const auto end =
          queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), kLargestGroup));
      group.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
      queue_.erase(queue_.begin(), end);
    }
    if (!group.empty()) CommitGroup(group);
    for (Pending& pending : group) {
      pending.done(std::move(pending.status));
      pending = {};  // releases the captures before the next group
    }
    MaintainFile();
  }
  CheckFile();
  // A coordinator that was stopped leaves all in the one file. SQLite would see to it itself if the
  // last connection to close could write. Where it fails the log stays, and nothing is lost.
  if (lost_.ok()) file_->Close(*db_).IgnoreError();
}

void Writer::MaintainFile() {
  const int64_t now_ns = Clock::Real().BootNanos();
  if (now_ns - maintained_ns_ < std::chrono::nanoseconds(kLookEvery).count()) return;
  CheckFile();
  if (log_grew_ && lost_.ok() && now_ns - copied_ns_ >= kCopyLogEveryNs) {
    copied_ns_ = now_ns;
    // Where it fails (a full disk), the log goes on.
    log_grew_ = !db_->CopyLogIntoFile("PASSIVE").value_or(false);
  }
  maintained_ns_ = now_ns;
}

void Writer::CheckFile() {
  if (!lost_.ok()) return;
  const absl::Status found = file_->Check();
  if (found.ok()) return;
  lost_ = absl::UnavailableError(
      absl::StrCat(found.message(), "; nothing is acknowledged any more. ", file_->Rescue(*db_)));
  if (lost_callback_ != nullptr) lost_callback_(lost_);
}

void Writer::CommitGroup(std::vector<Pending>& group) {
  std::set<int64_t> changed_runs;
  std::vector<RunRow> rows;
  absl::Status status = lost_;
  if (status.ok()) status = db_->Execute("BEGIN IMMEDIATE");
  if (status.ok()) status = RunAll(group, changed_runs);
  if (status.ok()) {
    absl::StatusOr<std::vector<RunRow>> loaded = LoadChanged(changed_runs);
    status = loaded.status();
    if (loaded.ok()) rows = *std::move(loaded);
  }
  if (status.ok()) status = db_->Execute("COMMIT");
  if (status.ok()) {
    log_grew_ = true;
    CheckFile();
    status = lost_;
  }
  if (status.ok()) {
    if (committed_ != nullptr) committed_(rows);
    return;
  }
  series_ids_.clear();
  if (db_->in_transaction()) {
    // Fails only where SQLite has already rolled back; the next BEGIN says so otherwise.
    db_->Execute("ROLLBACK").IgnoreError();
  }
  // It may have failed because the file is gone.
  CheckFile();
  if (!lost_.ok()) status = lost_;
  for (Pending& pending : group) {
    // A copy of its own for each waiting thread: ThreadSanitizer cannot see the reference count
    // that copies of a Status share inside Debian's absl.
    if (pending.status.ok()) pending.status = absl::Status(status.code(), status.message());
  }
}

absl::Status Writer::RunAll(std::vector<Pending>& group, std::set<int64_t>& changed_runs) {
  for (Pending& pending : group) {
    std::set<int64_t> changed;
    ALLO_RETURN_IF_ERROR(db_->Prepare("SAVEPOINT operation").Run());
    pending.status = RunOne(pending, changed);
    if (!db_->in_transaction()) {
      // SQLite gave up the whole transaction (disk full, out of memory, I/O).
      return pending.status.ok() ? absl::InternalError("the transaction was lost") : pending.status;
    }
    if (pending.status.ok()) {
      changed_runs.merge(changed);
    } else {
      series_ids_.clear();
      ALLO_RETURN_IF_ERROR(db_->Prepare("ROLLBACK TO operation").Run());
    }
    ALLO_RETURN_IF_ERROR(db_->Prepare("RELEASE operation").Run());
  }
  return absl::OkStatus();
}

absl::Status Writer::RunOne(Pending& pending, std::set<int64_t>& changed_runs) {
  Transaction transaction{*db_, clock_->UnixMicros(), changed_runs, series_ids_};
  return pending.operation(transaction);
}

absl::StatusOr<std::vector<RunRow>> Writer::LoadChanged(const std::set<int64_t>& changed_runs) {
  std::vector<RunRow> rows;
  std::set<int64_t> with_waiting = changed_runs;
  for (const int64_t run_id : changed_runs) {
    ALLO_ASSIGN_OR_RETURN(const std::vector<int64_t> waiting, WaitingFor(*db_, run_id));
    with_waiting.insert(waiting.begin(), waiting.end());
  }
  rows.reserve(with_waiting.size());
  for (const int64_t run_id : with_waiting) {
    ALLO_ASSIGN_OR_RETURN(RunRow row, LoadRun(*db_, run_id));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace allometry::store
