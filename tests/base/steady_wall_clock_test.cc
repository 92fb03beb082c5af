#include "base/steady_wall_clock.h"

#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"

namespace allometry {
namespace {

TEST(SteadyWallClockTest, AJumpOfTheWallClockIsNoTimeThatPassed) {
  testing::FakeClock clock;
  const SteadyWallClock steady(clock);
  const int64_t start_us = steady.UnixMicros();
  EXPECT_EQ(start_us, clock.UnixMicros());
  clock.AdvanceMs(1500);
  EXPECT_EQ(steady.UnixMicros(), start_us + 1'500'000);
  clock.JumpWallMs(3 * 3600 * 1000);
  EXPECT_EQ(steady.UnixMicros(), start_us + 1'500'000);
  clock.JumpWallMs(-400LL * 24 * 3600 * 1000);
  clock.AdvanceMs(500);
  EXPECT_EQ(steady.UnixMicros(), start_us + 2'000'000);
  EXPECT_EQ(steady.BootNanos(), clock.BootNanos());
}

}  // namespace
}  // namespace allometry
