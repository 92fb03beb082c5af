#include "worker/comm/watchdog.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_format.h"

namespace allometry::comm {

Watchdog::Watchdog(double timeout_s, std::function<void(const absl::Status&)> on_hang)
    : timeout_s_(timeout_s), on_hang_(std::move(on_hang)), thread_([this] { Watch(); }) {}

Watchdog::~Watchdog() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  stopping_.NotifyAll();
  thread_.join();
}

void Watchdog::Watch() {
  const double tick_s = std::min(1.0, timeout_s_ / 4);
  uint64_t seen = 0;
  double waited_s = 0;  // in ticks, which a stopped process does not take
  MutexLock lock(mutex_);
  while (!stop_) {
    if (stopping_.WaitFor(lock, std::chrono::duration<double>(tick_s))) continue;
    const uint64_t changes = changes_;
    const bool same_call = changes == seen && changes % 2 == 1;
    seen = changes;
    waited_s = same_call ? waited_s + tick_s : 0;
    if (waited_s < timeout_s_) continue;
    on_hang_(absl::AbortedError(
        absl::StrFormat("%s: no answer from other ranks in %g s", name_.load(), timeout_s_)));
    return;
  }
}

}  // namespace allometry::comm
