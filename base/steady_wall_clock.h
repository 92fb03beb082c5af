// Wall time that does not jump: what the wall clock said at the start, plus the boot clock since.
// Durations between two of its times are true though somebody sets the clock in between; that is
// seen at the next start.
#pragma once

#include "base/clock.h"

namespace allometry {

class SteadyWallClock final : public Clock {
 public:
  // `clock` outlives it.
  explicit SteadyWallClock(const Clock& clock)
      : clock_(clock), offset_us_(clock.UnixMicros() - clock.BootNanos() / 1000) {}

  int64_t UnixMicros() const override { return clock_.BootNanos() / 1000 + offset_us_; }
  int64_t BootNanos() const override { return clock_.BootNanos(); }

 private:
  const Clock& clock_;
  const int64_t offset_us_;
};

}  // namespace allometry
