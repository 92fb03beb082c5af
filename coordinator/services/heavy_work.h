// Calls that compute for seconds: so many at a time, and none for a client that has left.
#pragma once

#include <functional>

#include "base/mutex.h"
#include "base/status.h"

namespace allometry::coordinator {

class HeavyWork {
 public:
  explicit HeavyWork(int at_once) : free_(at_once) {}

  // Waits for its turn, then calls work(). Cancelled: is_gone() became true before.
  absl::Status Run(const std::function<bool()>& is_gone, const std::function<void()>& work);

 private:
  void GiveBack();

  Mutex mutex_;
  ConditionVariable changed_;
  int free_ ALLO_GUARDED_BY(mutex_);
};

}  // namespace allometry::coordinator
