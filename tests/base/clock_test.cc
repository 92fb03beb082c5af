#include "base/clock.h"

#include <ctime>

#include "gtest/gtest.h"

namespace allometry {
namespace {

TEST(ClockTest, UnixMicrosAgreesWithTime) {
  const std::time_t before = std::time(nullptr);
  const int64_t micros = Clock::Real().UnixMicros();
  const std::time_t after = std::time(nullptr);
  EXPECT_GE(micros, (int64_t{before} - 1) * 1'000'000);  // time() may lag by a tick
  EXPECT_LE(micros, (int64_t{after} + 1) * 1'000'000);
}

TEST(ClockTest, BootNanosNeverGoesBack) {
  int64_t last = Clock::Real().BootNanos();
  EXPECT_GT(last, 0);
  for (int i = 0; i < 1000; ++i) {
    const int64_t now = Clock::Real().BootNanos();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace allometry
