// Tells watchers that something was committed, in which runs, and when the server stops.
//
// There is one counter, the version, for all sweeps; a watcher that wakes for another sweep's
// change has nothing to send. For each run the feed keeps the version of its last change, so that a
// watcher reads only the rows of runs that changed. Safe from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "absl/types/span.h"
#include "base/mutex.h"

namespace allometry::coordinator {

class ChangeFeed {
 public:
  // After the commit: these runs, their points or checkpoints have changed.
  void Announce(absl::Span<const int64_t> run_ids = {});
  // Wakes every waiter for good.
  void Close();

  bool closed() const;
  uint64_t version() const;
  // The runs that changed after the feed had this version, by time.
  std::vector<int64_t> ChangedSince(uint64_t version) const;
  // Returns the version once it is beyond `seen`, the feed is closed, or `timeout` has passed.
  uint64_t WaitBeyond(uint64_t seen, std::chrono::milliseconds timeout) const;
  // A pause of `timeout` that Close ends.
  void WaitUntilClosed(std::chrono::milliseconds timeout) const;

 private:
  mutable Mutex mutex_;
  mutable ConditionVariable changed_;
  uint64_t version_ ALLO_GUARDED_BY(mutex_) = 0;
  std::unordered_map<int64_t, uint64_t> version_of_run_ ALLO_GUARDED_BY(mutex_);
  std::map<uint64_t, int64_t> run_by_version_ ALLO_GUARDED_BY(mutex_);  // the same, turned round
  bool closed_ ALLO_GUARDED_BY(mutex_) = false;
};

}  // namespace allometry::coordinator
