// A time limit for waiting in steps of at most a second.
#pragma once

#include <algorithm>
#include <chrono>

namespace allometry::comm {

// Counts the time between two calls of Ended(), at most two seconds for each: more passes only if
// this process was stopped (`scontrol suspend`, a debugger, a suspended machine), and then its
// peers may have been stopped too.
class WaitLimit {
 public:
  using Seconds = std::chrono::duration<double>;
  static constexpr Seconds kLongestStep{1.0};

  explicit WaitLimit(double timeout_s) : left_(timeout_s) {}
  bool Ended() {
    const std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
    left_ -= std::min<Seconds>(now - last_, 2 * kLongestStep);
    last_ = now;
    return left_.count() <= 0;
  }
  Seconds left() const { return left_; }

 private:
  Seconds left_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace allometry::comm
