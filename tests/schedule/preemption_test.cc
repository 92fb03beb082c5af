#include <string>
#include <vector>

#include "coordinator/schedule/decide.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/schedule/cluster_builder.h"
#include "tests/schedule/decided.h"

namespace allometry::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(PreemptionTest, ARunOfHigherPriorityAsksTheYoungestOfTheLowestToStop) {
  ClusterBuilder cluster;
  cluster.Worker("a", 3);
  cluster.Running(1, 50, "a", {0}).started_ns = 100;
  cluster.Running(2, 50, "a", {1}).started_ns = 300;
  cluster.Running(3, 50, "a", {2}).started_ns = 400;
  cluster.state().runs.at(3).priority = 1;
  cluster.Run(4, 10).priority = 2;
  Options options;
  options.min_run_ns = 1000;
  const Decided decision(cluster.state(), 5000, options);
  EXPECT_THAT(decision.Starts(), IsEmpty());
  EXPECT_THAT(decision.Stops(), ElementsAre(2));
  EXPECT_EQ(decision.decision().preemptions[0].reason,
            "makes room for run 4, which has priority 2 against 0");
}

TEST(PreemptionTest, NobodyIsAskedForARunOfTheSamePriority) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1).Running(1, 50, "a", {0});
  cluster.Run(2, 1000);
  EXPECT_THAT(Decided(cluster.state(), int64_t{1} << 60).Stops(), IsEmpty());
}

TEST(PreemptionTest, NobodyIsAskedForWhatHasRoomOrCouldNeverStart) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Running(1, 50, "a", {0});
  cluster.Run(2, 10).priority = 5;
  cluster.Run(3, 10, 4).priority = 5;
  RunState& blocked = cluster.Run(4, 10);
  blocked.priority = 5;
  blocked.blocked = "its sweep used up its device hours";
  const Decided decision(cluster.state(), int64_t{1} << 60);
  EXPECT_THAT(decision.Starts(), ElementsAre("2@a:1"));
  EXPECT_THAT(decision.Stops(), IsEmpty());
}

TEST(PreemptionTest, AYoungAttemptIsLeftAlone) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1).Running(1, 50, "a", {0}).started_ns = 1000;
  cluster.Run(2, 10).priority = 1;
  Options options;
  options.min_run_ns = 500;
  EXPECT_THAT(Decided(cluster.state(), 1499, options).Stops(), IsEmpty());
  EXPECT_THAT(Decided(cluster.state(), 1500, options).Stops(), ElementsAre(1));
  options.preempt = false;
  EXPECT_THAT(Decided(cluster.state(), 1500, options).Stops(), IsEmpty());
}

TEST(PreemptionTest, NobodyElseIsAskedWhileOneIsStopping) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Running(1, 50, "a", {0}).stopping = true;
  cluster.Running(2, 50, "a", {1});
  cluster.Run(3, 10).priority = 1;
  cluster.Run(4, 10).priority = 1;
  EXPECT_THAT(Decided(cluster.state(), int64_t{1} << 60).Stops(), IsEmpty());
}

TEST(PreemptionTest, AGangMakesRoomWhereTheFewestMustStopAndItsSlotsAreHeld) {
  ClusterBuilder cluster;
  cluster.Worker("a", 4).Worker("b", 4);
  for (int i = 0; i < 4; ++i) cluster.Running(1 + i, 10, "a", {i});
  cluster.Running(5, 1000, "b", {0, 1, 2});
  cluster.Run(6, 100, 4).priority = 1;
  cluster.Run(7, 900);
  const Decided decision(cluster.state(), int64_t{1} << 60);
  EXPECT_THAT(decision.Stops(), ElementsAre(5));
  EXPECT_THAT(decision.Starts(), IsEmpty()) << "the free slot of b is part of the room";
  cluster.state().runs.at(5).stopping = true;
  const Decided later(cluster.state(), int64_t{1} << 60);
  EXPECT_THAT(later.Starts(), IsEmpty());
  EXPECT_EQ(later.ReasonOf(6),
            "waiting: needs 4 slots on one worker; host-b has 1 free until run 5 stops");
}

TEST(PreemptionTest, AWiderVictimSparesTheNarrowOnesAddedBefore) {
  ClusterBuilder cluster;
  cluster.Worker("a", 3).Running(1, 50, "a", {0}).started_ns = 900;
  cluster.Running(2, 50, "a", {1, 2});
  cluster.Run(3, 10, 2).priority = 1;
  EXPECT_THAT(Decided(cluster.state(), int64_t{1} << 60).Stops(), ElementsAre(2));
}

TEST(PreemptionTest, AllWhoShareASlotStopOrNone) {
  ClusterBuilder cluster = SharedWorker(1, 2);
  cluster.Running(1, 50, "a", {0});
  cluster.Running(2, 50, "a", {0});
  cluster.Run(3, 10).priority = 1;
  EXPECT_THAT(Decided(cluster.state(), int64_t{1} << 60).Stops(), ElementsAre(1, 2));
  cluster.state().runs.at(2).priority = 1;
  EXPECT_THAT(Decided(cluster.state(), int64_t{1} << 60).Stops(), IsEmpty());
}

TEST(PreemptionTest, SeveralRunsMakeRoomAtOnceUpToABound) {
  ClusterBuilder cluster;
  cluster.Worker("a", 4);
  for (int i = 0; i < 4; ++i) cluster.Running(1 + i, 50, "a", {i});
  for (int64_t id = 10; id < 20; ++id) cluster.Run(id, 10).priority = 1;
  Options options;
  options.max_preemptions = 3;
  EXPECT_THAT(Decided(cluster.state(), int64_t{1} << 60, options).Stops(), ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace allometry::schedule
