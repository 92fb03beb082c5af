#include "coordinator/store/change_feed.h"

namespace allometry::coordinator {

void ChangeFeed::Announce(absl::Span<const int64_t> run_ids) {
  MutexLock lock(mutex_);
  for (const int64_t run_id : run_ids) {
    uint64_t& of_run = version_of_run_[run_id];
    run_by_version_.erase(of_run);
    of_run = ++version_;
    run_by_version_[of_run] = run_id;
  }
  if (run_ids.empty()) ++version_;
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

std::vector<int64_t> ChangeFeed::ChangedSince(uint64_t version) const {
  std::vector<int64_t> run_ids;
  MutexLock lock(mutex_);
  for (auto changed = run_by_version_.upper_bound(version); changed != run_by_version_.end();
       ++changed) {
    run_ids.push_back(changed->second);
  }
  return run_ids;
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
