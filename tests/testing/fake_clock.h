// A clock that a test moves. Both times advance together, and wall time jumps where it is told to;
// safe from any thread.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace allometry::testing {

class FakeClock final : public Clock {
 public:
  int64_t UnixMicros() const override { return unix_start_.load() + nanos_.load() / 1000; }
  int64_t BootNanos() const override { return nanos_.load(); }

  void AdvanceMs(int64_t ms) { nanos_ += ms * 1'000'000; }
  // Somebody set the clock on the wall: by so much, forwards or backwards.
  void JumpWallMs(int64_t ms) { unix_start_ += ms * 1000; }

 private:
  std::atomic<int64_t> unix_start_ = 1'700'000'000'000'000;
  std::atomic<int64_t> nanos_ = 1'000'000'000'000;
};

}  // namespace allometry::testing
