// A clock that a test moves. Both times advance together; safe from any thread.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace allometry::testing {

class FakeClock final : public Clock {
 public:
  int64_t UnixMicros() const override { return kUnixStart + nanos_.load() / 1000; }
  int64_t BootNanos() const override { return nanos_.load(); }

  void AdvanceMs(int64_t ms) { nanos_ += ms * 1'000'000; }

 private:
  static constexpr int64_t kUnixStart = 1'700'000'000'000'000;
  std::atomic<int64_t> nanos_ = 1'000'000'000'000;
};

}  // namespace allometry::testing
