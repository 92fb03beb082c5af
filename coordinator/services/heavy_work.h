// Limits how many calls that compute for seconds run at once; calls whose client has left do not
// run.
#pragma once

#include <functional>

#include "base/mutex.h"
#include "base/status.h"

namespace allometry::coordinator {

class HeavyWork {
 public:
  explicit HeavyWork(int at_once) : free_(at_once) {}

  // Waits for a free place, then calls work(). Cancelled: is_gone() became true before that.
  absl::Status Run(const std::function<bool()>& is_gone, const std::function<void()>& work);

 private:
  void GiveBack();

  Mutex mutex_;
  ConditionVariable changed_;
  int free_ ALLO_GUARDED_BY(mutex_);
};

}  // namespace allometry::coordinator
