#include "coordinator/services/heavy_work.h"

#include <chrono>

namespace allometry::coordinator {

absl::Status HeavyWork::Run(const std::function<bool()>& is_gone,
                            const std::function<void()>& work) {
  {
    MutexLock lock(mutex_);
    while (free_ == 0 && !is_gone()) changed_.WaitFor(lock, std::chrono::milliseconds(100));
    if (is_gone()) return absl::CancelledError("the client has left");
    --free_;
  }
  // Also where it throws: out of memory is one call's.
  struct Done {
    HeavyWork& heavy;
    ~Done() { heavy.GiveBack(); }
  } const done{*this};
  work();
  return absl::OkStatus();
}

void HeavyWork::GiveBack() {
  MutexLock lock(mutex_);
  ++free_;
  changed_.NotifyOne();
}

}  // namespace allometry::coordinator
