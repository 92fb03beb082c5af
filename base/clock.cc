#include "base/clock.h"

#include <ctime>

namespace allometry {
namespace {

int64_t Nanos(clockid_t id) {
  timespec now;
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

class RealClock final : public Clock {
 public:
  int64_t UnixMicros() const override { return Nanos(CLOCK_REALTIME) / 1000; }
  int64_t BootNanos() const override { return Nanos(CLOCK_BOOTTIME); }
};

}  // namespace

const Clock& Clock::Real() {
  static const RealClock clock;
  return clock;
}

}  // namespace allometry
