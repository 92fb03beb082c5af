#include "coordinator/cost/eta.h"

#include <optional>
#include <vector>

#include "gtest/gtest.h"

namespace allometry::cost {
namespace {

OpenRun Running(double flops_left, double flops_per_s, int ranks = 1) {
  return {1e5, flops_left, ranks, /*running=*/true, flops_per_s};
}

OpenRun Waiting(double flops_left, int ranks = 1) { return {1e5, flops_left, ranks}; }

TEST(EtaTest, IsZeroWhenNothingIsLeft) {
  EXPECT_EQ(EstimateEta({}, 2), 0.0);
  EXPECT_EQ(EstimateEta({Running(0, 10), Waiting(0)}, 2), 0.0);
}

TEST(EtaTest, IsUnknownBeforeAnythingIsMeasured) {
  EXPECT_EQ(EstimateEta({Running(100, 0), Waiting(100)}, 2), std::nullopt);
}

TEST(EtaTest, RunsSideBySideEndWithTheSlowest) {
  EXPECT_EQ(EstimateEta({Running(100, 10), Running(300, 10)}, 2), 30.0);
}

TEST(EtaTest, AWaitingRunFollowsAtTheMeasuredPace) {
  // Two slots: one free at 10 s, the other at 30 s; 400 FLOPs at 10 a second start at 10 s.
  EXPECT_EQ(EstimateEta({Running(100, 10), Running(300, 10), Waiting(400)}, 2), 50.0);
}

TEST(EtaTest, WaitingRunsGoLongestFirst) {
  const Throughput throughput({{1e5, 10}});
  // 6, 4, 3, 3 on two slots: 6+3 and 4+3. In the order given it would be 3+4 and 3+6.
  EXPECT_EQ(EstimateEta({Waiting(30), Waiting(30), Waiting(40), Waiting(60)}, 2, throughput), 9.0);
}

TEST(EtaTest, ARunOnTwoSlotsWaitsForBothAndGoesTwiceAsFast) {
  EXPECT_EQ(EstimateEta({Running(100, 10), Running(200, 10), Waiting(400, 2)}, 2), 40.0);
}

TEST(EtaTest, AShorterRunUsesSlotsThatALongerOneCannot) {
  // 800 on two slots must wait for the running one (10 s) and takes 40 s; 50 go at once on the
  // slot that is free until then.
  EXPECT_EQ(EstimateEta({Running(100, 10), Waiting(800, 2), Waiting(50)}, 2), 50.0);
}

TEST(EtaTest, ARunThatFitsNowhereHasNoEnd) {
  const Throughput throughput({{1e5, 10}});
  EXPECT_EQ(EstimateEta({Waiting(100, 3)}, 2, throughput), std::nullopt);
  EXPECT_EQ(EstimateEta({Waiting(100)}, 0, throughput), std::nullopt);
  EXPECT_EQ(EstimateEta({Running(100, 10, 3)}, 0), 10.0);
}

TEST(EtaTest, RatesOfOtherSizesAreInterpolatedPerDevice) {
  const OpenRun small{1e4, 10, 1, true, 1.0};
  const OpenRun large{1e6, 10, 4, true, 400.0};  // 100 a device
  const OpenRun middle{1e5, 1000, 2};            // 10 a device
  EXPECT_NEAR(*EstimateEta({small, large, middle}, 8), 50.0, 1e-9);
}

TEST(EtaTest, TenThousandRunsAreOneSimulation) {
  const std::vector<OpenRun> runs(10'000, Waiting(100));
  EXPECT_EQ(EstimateEta(runs, 100, Throughput({{1e5, 10}})), 1000.0);
}

}  // namespace
}  // namespace allometry::cost
