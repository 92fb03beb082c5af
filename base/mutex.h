// A std::mutex and std::condition_variable that clang's thread-safety analysis can read.
//
// Why not absl::Mutex: Debian builds it uninstrumented, so ThreadSanitizer cannot see its
// happens-before edges. `cmake --preset clang` compiles with -Wthread-safety -Werror.
//
//   Mutex mutex_;
//   int count_ ALLO_GUARDED_BY(mutex_) = 0;
//   { MutexLock lock(mutex_); while (count_ == 0) changed_.Wait(lock); }
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define ALLO_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define ALLO_THREAD_ATTRIBUTE(x)
#endif
#define ALLO_CAPABILITY(x) ALLO_THREAD_ATTRIBUTE(capability(x))
#define ALLO_SCOPED_CAPABILITY ALLO_THREAD_ATTRIBUTE(scoped_lockable)
#define ALLO_GUARDED_BY(x) ALLO_THREAD_ATTRIBUTE(guarded_by(x))
#define ALLO_REQUIRES(...) ALLO_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define ALLO_EXCLUDES(...) ALLO_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ALLO_ACQUIRE(...) ALLO_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define ALLO_RELEASE(...) ALLO_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))

namespace allometry {

class ALLO_CAPABILITY("mutex") Mutex {
 public:
  void Lock() ALLO_ACQUIRE() { mutex_.lock(); }
  void Unlock() ALLO_RELEASE() { mutex_.unlock(); }

 private:
  friend class ConditionVariable;
  std::mutex mutex_;
};

class ALLO_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ALLO_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() ALLO_RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  friend class ConditionVariable;
  Mutex& mutex_;
};

// Waits release the lock's mutex and hold it again on return. Wake-ups may be spurious: wait in a
// loop over the guarded condition.
class ConditionVariable {
 public:
  void Wait(MutexLock& lock) {
    std::unique_lock<std::mutex> held(lock.mutex_.mutex_, std::adopt_lock);
    condition_.wait(held);
    held.release();
  }
  // False when `timeout` passed without a notification.
  template <class Rep, class Period>
  bool WaitFor(MutexLock& lock, std::chrono::duration<Rep, Period> timeout) {
    std::unique_lock<std::mutex> held(lock.mutex_.mutex_, std::adopt_lock);
    const auto status = condition_.wait_for(held, timeout);
    held.release();
    return status == std::cv_status::no_timeout;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace allometry
