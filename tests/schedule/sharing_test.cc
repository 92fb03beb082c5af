#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "coordinator/schedule/decide.h"
#include "coordinator/schedule/exact_sum.h"
#include "coordinator/schedule/scheduler.h"
#include "coordinator/schedule/sharing_paces.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/schedule/cluster_builder.h"
#include "tests/schedule/decided.h"

namespace allometry::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SharingTest, ARunTakesAFreeSlotBeforeItSharesOne) {
  ClusterBuilder cluster = SharedWorker(2, 2);
  cluster.Running(1, 12, "a", {0});
  cluster.Run(2, 10);
  cluster.Run(3, 5);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("2@a:1", "3@a:0"));
  EXPECT_EQ(decision.decision().assignments[0].reason, "");
  EXPECT_EQ(decision.decision().assignments[1].reason,
            "shares cpu:0 of host-a with run 1: 2 of at most 2");
}

TEST(SharingTest, ASlotTakesNoMoreRunsThanItSays) {
  ClusterBuilder cluster = SharedWorker(1, 2);
  for (int64_t id = 1; id <= 3; ++id) cluster.Run(id, static_cast<double>(id));
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("3@a:0", "2@a:0"));
  EXPECT_EQ(decision.ReasonOf(1), "waiting: no slot is free, 1 is busy; at most 2 share one");
}

TEST(SharingTest, MemoryOfADeviceIsNeverExceeded) {
  constexpr int64_t kGiB = int64_t{1} << 30;
  ClusterBuilder cluster = SharedWorker(1, 4, 8 * kGiB);
  cluster.Run(1, 30).memory_bytes = 5 * kGiB;
  cluster.Run(2, 20).memory_bytes = 4 * kGiB;
  cluster.Run(3, 10).memory_bytes = 2 * kGiB;
  cluster.Run(4, 5).memory_bytes = 0;  // not known: counted as nothing
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("1@a:0", "3@a:0", "4@a:0"));
  EXPECT_EQ(decision.decision().assignments[1].reason,
            "shares cpu:0 of host-a with run 1: 2 of at most 4, 7.0 GiB of 8.0 GiB");
  EXPECT_EQ(decision.ReasonOf(2),
            "waiting: no slot is free, 1 is busy; beside others it needs 4.0 GiB, at most 1.0 GiB "
            "are left");
}

TEST(SharingTest, RunsThatWouldBeSlowerTogetherStayApart) {
  ClusterBuilder cluster = SharedWorker(1, 4);
  cluster.Running(1, 50, "a", {0}).max_sharers = 2;
  cluster.Run(2, 20);
  cluster.Run(3, 10);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("2@a:0"));
  cluster.state().runs.at(2).max_sharers = 1;
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("3@a:0")) << "the other one does not share at all";
  EXPECT_EQ(decision.ReasonOf(2),
            "waiting: no slot is free, 1 is busy; more on a slot than now were measured to be "
            "slower together");
}

TEST(SharingTest, WhatEndsLastIsLeftAlone) {
  ClusterBuilder cluster = SharedWorker(2, 2);
  cluster.Running(1, 1000, "a", {0});
  cluster.Running(2, 20, "a", {1});
  cluster.Run(3, 10);
  cluster.Run(4, 800);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("4@a:1")) << "all work is 1830 over two slots";
  EXPECT_EQ(decision.ReasonOf(3),
            "waiting: no slot is free, 2 are busy; what is expected to end last has a slot alone");
  cluster.state().runs.at(4).duration = 960;
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("4@a:1"));
  cluster.state().runs.at(4).duration = 1100;
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("3@a:0"))
      << "now run 4 ends last, and waits for a slot of its own";
}

TEST(SharingTest, TimesThatWereFlopsBeforeThePaceWasKnownLeaveNothingInTheOpenWork) {
  ClusterBuilder cluster = SharedWorker(1, 2);
  Scheduler scheduler;
  scheduler.PutAgent(cluster.state().agents.at("a"));
  for (int64_t id = 1; id <= 7; ++id) {
    scheduler.PutRun(cluster.Run(id, 1e21 / (3.0 * static_cast<double>(id))));
  }
  // Each finds its pace, and all but two end.
  for (int64_t id = 1; id <= 7; ++id) {
    scheduler.SetRemaining(id, 10 + static_cast<double>(id), 10 + static_cast<double>(id));
  }
  for (int64_t id = 3; id <= 7; ++id) scheduler.RemoveRun(id);
  const Decision decision = scheduler.Decide(0);
  EXPECT_EQ(Text(decision), Text(Decide(scheduler.state(), 0)));
  EXPECT_EQ(decision.assignments.size(), 2u) << "11 s and 12 s may share a slot: all work is 23 s";
}

TEST(ExactSumTest, WhatWasAddedAndTakenOutLeavesTheRestToTheLastBit) {
  ExactSum sum;
  double rest = 0;
  for (int i = 1; i <= 1000; ++i) sum.Add(1e21 / i);
  sum.Add(0.1);
  for (int i = 1000; i >= 1; --i) sum.Add(-1e21 / i);
  EXPECT_EQ(sum.value(), 0.1);
  for (const double value : {1e-3, 17.25, 3e25, 1e-9}) {
    sum.Add(value);
    rest += value;
  }
  EXPECT_DOUBLE_EQ(sum.value(), 0.1 + rest);
  sum.Add(std::numeric_limits<double>::infinity());
  sum.Add(-std::numeric_limits<double>::infinity());
  EXPECT_DOUBLE_EQ(sum.value(), 0.1 + rest);
}

TEST(SharingTest, TheSlotThatIsEmptySoonestIsKeptForWhatEndsLast) {
  ClusterBuilder cluster = SharedWorker(2, 3);
  cluster.Running(1, 100, "a", {0});
  cluster.Running(2, 20, "a", {1});
  cluster.Run(3, 500);
  cluster.Run(4, 10);
  cluster.Run(5, 10);
  cluster.Run(6, 10);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("4@a:0", "5@a:0"));
  EXPECT_EQ(decision.ReasonOf(6),
            "waiting: no slot is free, 2 are busy; what is expected to end last has a slot alone");
  cluster.state().runs.at(3).priority = -1;
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("4@a:0", "5@a:1", "6@a:0"))
      << "what has priority does not wait for it";
}

TEST(SharingTest, AGangNeverShares) {
  ClusterBuilder cluster = SharedWorker(2, 4);
  cluster.Running(1, 50, "a", {0});
  cluster.Run(2, 100, 2);
  const Decided waits(cluster.state(), 0);
  EXPECT_THAT(waits.Starts(), IsEmpty());
  EXPECT_EQ(waits.ReasonOf(2),
            "waiting: needs 2 slots on one worker; host-a has 1 free until run 1 ends");
  ClusterBuilder other = SharedWorker(2, 4);
  other.Running(1, 50, "a", {0, 1});
  other.Run(2, 10);
  EXPECT_THAT(Decided(other.state(), 0).Starts(), IsEmpty());
}

TEST(SharingTest, TheLeastCrowdedSlotWithTheMostMemoryLeftIsJoined) {
  ClusterBuilder cluster = SharedWorker(3, 3, 1000);
  cluster.Running(1, 50, "a", {0}).memory_bytes = 100;
  cluster.Running(2, 50, "a", {0}).memory_bytes = 100;
  cluster.Running(3, 50, "a", {1}).memory_bytes = 500;
  cluster.Running(4, 50, "a", {2}).memory_bytes = 400;
  cluster.Run(5, 10).memory_bytes = 100;
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("5@a:2"));
}

TEST(SharingTest, ARunDoesNotJoinWhereAGangWaitsUnlessItEndsInTime) {
  ClusterBuilder cluster = SharedWorker(2, 2);
  cluster.Running(1, 50, "a", {0});
  cluster.Running(2, 30, "a", {1});
  cluster.Run(3, 200, 2);
  cluster.Run(4, 60);
  cluster.Run(5, 40);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("5@a:0"));
}

TEST(SharingTest, ARunLargerThanEveryDeviceTriesAlone) {
  ClusterBuilder cluster = SharedWorker(1, 2, 1000);
  cluster.Worker("b", 1);
  cluster.state().agents.at("b").slots[0].set_memory_bytes(4000);
  cluster.Run(1, 10).memory_bytes = 2000;
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@b:0"));
  cluster.state().agents.at("b").live = false;
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@a:0"));
}

constexpr int32_t kNoKnownLimit = std::numeric_limits<int32_t>::max();

TEST(SharingPacesTest, WhatWasNotMeasuredIsTakenToPay) {
  SharingPaces paces;
  EXPECT_EQ(paces.MostUsefulSharers(run::DeviceKind::kCuda, 1e6), kNoKnownLimit);
  paces.Measured(run::DeviceKind::kCuda, 1e6, 1, 100);
  paces.Measured(run::DeviceKind::kCuda, 1e6, 3, 10);
  EXPECT_EQ(paces.MostUsefulSharers(run::DeviceKind::kCuda, 1e6), kNoKnownLimit)
      << "two together were not measured";
}

TEST(SharingPacesTest, TheFirstNumberThatIsSlowerTogetherEndsIt) {
  SharingPaces paces;
  EXPECT_FALSE(paces.Measured(run::DeviceKind::kCuda, 1e6, 1, 100));
  EXPECT_FALSE(paces.Measured(run::DeviceKind::kCuda, 1e6, 2, 60)) << "120 together";
  EXPECT_TRUE(paces.Measured(run::DeviceKind::kCuda, 0.8e6, 3, 39))
      << "117 together, of the same octave";
  EXPECT_EQ(paces.MostUsefulSharers(run::DeviceKind::kCuda, 1e6), 2);
  EXPECT_EQ(paces.MostUsefulSharers(run::DeviceKind::kCuda, 4e6), kNoKnownLimit) << "another size";
  EXPECT_EQ(paces.MostUsefulSharers(run::DeviceKind::kCpu, 1e6), kNoKnownLimit)
      << "another kind of device";
}

TEST(SharingPacesTest, OneOddMeasurementIsNotBelievedForGood) {
  SharingPaces paces;
  for (int i = 0; i < 8; ++i) paces.Measured(run::DeviceKind::kCpu, 1e6, 1, 100);
  for (int i = 0; i < 8; ++i) paces.Measured(run::DeviceKind::kCpu, 1e6, 2, 90);
  EXPECT_FALSE(paces.Measured(run::DeviceKind::kCpu, 1e6, 2, 10));
  EXPECT_FALSE(paces.Measured(run::DeviceKind::kCpu, 1e6, 2, std::nan("")));
  EXPECT_EQ(paces.MostUsefulSharers(run::DeviceKind::kCpu, 1e6), kNoKnownLimit);
}

}  // namespace
}  // namespace allometry::schedule
