// Two clocks, injected so that tests own time.
//
// Wall time (Unix, microseconds) is for people and rows: it can jump. Boot time
// (CLOCK_BOOTTIME, nanoseconds) is for leases and deadlines: it never goes back and counts
// suspended time, and it is the same for every process of one host since its boot.
#pragma once

#include <cstdint>

namespace allometry {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t UnixMicros() const = 0;
  virtual int64_t BootNanos() const = 0;

  // The machine's clocks. Lives for the whole process; safe from any thread.
  static const Clock& Real();
};

}  // namespace allometry
