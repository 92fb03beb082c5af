// Notices a call that does not return, such as an MPI call whose peer hangs in the middle of it.
// Time during which this process was stopped does not count.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "base/mutex.h"
#include "base/status.h"

namespace allometry::comm {

class Watchdog {
 public:
  // `on_hang` is called at most once, on a thread of this, `timeout_s` after the start of a call
  // that has not ended; its status is Aborted and names the call. It should end the process.
  Watchdog(double timeout_s, std::function<void(const absl::Status&)> on_hang);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // The time from its construction to its destruction is watched. One at a time.
  class Call {
   public:
    Call(Watchdog& dog, const char* name) : dog_(dog) {
      dog_.name_ = name;
      ++dog_.changes_;
    }
    ~Call() { ++dog_.changes_; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Watchdog& dog_;
  };

 private:
  void Watch() ALLO_EXCLUDES(mutex_);

  const double timeout_s_;
  const std::function<void(const absl::Status&)> on_hang_;
  std::atomic<const char*> name_ = "";
  std::atomic<uint64_t> changes_ = 0;  // odd: in a call

  Mutex mutex_;
  ConditionVariable stopping_;
  bool stop_ ALLO_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace allometry::comm
