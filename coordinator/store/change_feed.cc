#include "coordinator/store/change_feed.h"

namespace allometry::coordinator {

void ChangeFeed::Announce() {
  MutexLock lock(mutex_);
  ++version_;
  changed_.NotifyAll();
}

void ChangeFeed::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.NotifyAll();
}

bool ChangeFeed::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

uint64_t ChangeFeed::version() const {
  MutexLock lock(mutex_);
  return version_;
}

uint64_t ChangeFeed::WaitBeyond(uint64_t seen, std::chrono::milliseconds timeout) const {
  const auto until = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (version_ <= seen && !closed_) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= left.zero() || !changed_.WaitFor(lock, left)) break;
  }
  return version_;
}

void ChangeFeed::WaitUntilClosed(std::chrono::milliseconds timeout) const {
  const auto until = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (!closed_) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= left.zero() || !changed_.WaitFor(lock, left)) return;
  }
}

}  // namespace allometry::coordinator
