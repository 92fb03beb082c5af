// Tells watchers that something was committed, and when the server stops.
//
// There is one counter for all sweeps. A watcher that wakes for another sweep's change sends
// nothing, because its snapshot is the same as before. Safe from any thread.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/mutex.h"

namespace allometry::coordinator {

class ChangeFeed {
 public:
  void Announce();
  // Wakes every waiter for good.
  void Close();

  bool closed() const;
  uint64_t version() const;
  // Returns the version once it is beyond `seen`, the feed is closed, or `timeout` has passed.
  uint64_t WaitBeyond(uint64_t seen, std::chrono::milliseconds timeout) const;
  // A pause of `timeout` that Close ends.
  void WaitUntilClosed(std::chrono::milliseconds timeout) const;

 private:
  mutable Mutex mutex_;
  mutable ConditionVariable changed_;
  uint64_t version_ ALLO_GUARDED_BY(mutex_) = 0;
  bool closed_ ALLO_GUARDED_BY(mutex_) = false;
};

}  // namespace allometry::coordinator
