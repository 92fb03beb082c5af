#include "coordinator/schedule/limits.h"

#include "gmock/gmock.h"

namespace allometry::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;

RunTime Waiting(int64_t run_id, double ended_device_s = 0) {
  return {.run_id = run_id, .sweep_id = 1, .ended_device_s = ended_device_s};
}
RunTime Running(int64_t run_id, double running_s, int devices = 1) {
  return {
      .run_id = run_id, .sweep_id = 1, .running = true, .running_s = running_s, .devices = devices};
}

TEST(LimitsTest, WithoutLimitsNothingIsForbidden) {
  const LimitsDecision decision =
      DecideLimits({{1, {0, 0, 1e9}}}, {Waiting(1, 1e9), Running(2, 1e9)});
  EXPECT_THAT(decision.blocked, IsEmpty());
  EXPECT_THAT(decision.stop, IsEmpty());
}

TEST(LimitsTest, RunningRunsCountTimesTheirDevices) {
  // 1 hour ended, two devices for half an hour: 2 hours, the budget.
  const std::map<int64_t, SweepLimits> sweeps = {{1, {2, 0, 3600}}};
  EXPECT_THAT(DecideLimits(sweeps, {Running(1, 1799, 2), Waiting(2)}).stop, IsEmpty());
  const LimitsDecision decision = DecideLimits(sweeps, {Running(1, 1800, 2), Waiting(2)});
  EXPECT_THAT(decision.stop, ElementsAre(Key(1)));
  EXPECT_EQ(decision.blocked.at(2),
            "the sweep's budget of 2 device-hours is used up (2); raise limits.max_device_hours "
            "and submit again");
}

TEST(LimitsTest, RunThatIsStoppingIsNotAskedTwiceAndStillCounts) {
  RunTime stopping = Running(1, 7300);
  stopping.stopping = true;
  const LimitsDecision decision = DecideLimits({{1, {2, 0, 0}}}, {stopping, Waiting(2)});
  EXPECT_THAT(decision.stop, IsEmpty());
  EXPECT_THAT(decision.blocked.at(2), HasSubstr("used up (2.03)"));
}

TEST(LimitsTest, RunLimitIsOfThatRunAloneAndEndsIt) {
  const std::map<int64_t, SweepLimits> sweeps = {{1, {0, 1, 0}}};
  const LimitsDecision decision =
      DecideLimits(sweeps, {Running(1, 3601), Running(2, 100), Waiting(3, 3700), Waiting(4)});
  EXPECT_THAT(decision.end, ElementsAre(Key(1)));
  EXPECT_THAT(decision.stop, IsEmpty());
  EXPECT_THAT(decision.blocked, ElementsAre(Key(3)));
  EXPECT_THAT(decision.blocked.at(3), HasSubstr("1.03 device-hours of limits.max_run_hours 1"));
}

TEST(LimitsTest, RunThatIsPreemptedIsStillEndedByItsOwnLimitOnce) {
  RunTime preempted = Running(1, 3700);
  preempted.stopping = true;
  EXPECT_THAT(DecideLimits({{1, {0, 1, 0}}}, {preempted}).end, ElementsAre(Key(1)));
  preempted.ending = true;
  EXPECT_THAT(DecideLimits({{1, {0, 1, 0}}}, {preempted}).end, IsEmpty());
}

TEST(LimitsTest, OneSweepsBudgetIsNotAnothers) {
  RunTime other = Waiting(2);
  other.sweep_id = 2;
  const LimitsDecision decision =
      DecideLimits({{1, {1, 0, 4000}}, {2, {1, 0, 0}}}, {Waiting(1), other});
  EXPECT_THAT(decision.blocked, ElementsAre(Key(1)));
}

}  // namespace
}  // namespace allometry::schedule
