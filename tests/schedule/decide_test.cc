#include "coordinator/schedule/decide.h"

#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/schedule/cluster_builder.h"
#include "tests/schedule/decided.h"

namespace allometry::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(DecideTest, NothingIsDecidedAboutNothing) {
  EXPECT_THAT(Decided({}, 0).Starts(), IsEmpty());
  EXPECT_THAT(Decided({}, 0).reasons(), IsEmpty());
}

TEST(DecideTest, TheLongestRunStartsFirst) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Run(1, 10);
  cluster.Run(2, 30);
  cluster.Run(3, 20);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("2@a:0", "3@a:1"));
  EXPECT_EQ(decision.ReasonOf(1), "waiting: no slot is free, 2 are busy");
}

TEST(DecideTest, PriorityGoesBeforeLength) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1).Run(1, 100);
  cluster.Run(2, 1).priority = 5;
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("2@a:0"));
}

TEST(DecideTest, WhatOthersWaitForGoesBeforeTheRestOfItsSweepAlone) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Run(1, 100);
  cluster.Run(2, 1).ahead = true;
  cluster.Run(3, 50, 1, /*sweep_id=*/2);
  // One slot for each sweep.
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("2@a:0", "3@a:1"));
  cluster.Run(4, 200, 2).priority = 1;
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("4@a:0,1"));
}

TEST(DecideTest, TheSweepThatHoldsLessGoesFirst) {
  ClusterBuilder cluster;
  cluster.Worker("a", 3).Running(1, 10, "a", {0}, /*sweep_id=*/1);
  cluster.Run(2, 12, 1, /*sweep_id=*/1);
  cluster.Run(3, 11, 1, /*sweep_id=*/2);
  cluster.Run(4, 11, 1, /*sweep_id=*/2);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("3@a:1", "2@a:2"));
}

TEST(DecideTest, WhatEndsLastGoesBeforeSweepsThatHoldLess) {
  ClusterBuilder cluster;
  cluster.Worker("a", 3).Running(1, 10, "a", {0}, /*sweep_id=*/1);
  cluster.Run(2, 25, 1, /*sweep_id=*/1);
  cluster.Run(3, 11, 1, /*sweep_id=*/2);
  cluster.Run(4, 11, 1, /*sweep_id=*/2);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("2@a:1", "3@a:2"))
      << "all work is 57 over three slots";
}

TEST(DecideTest, AGangStartsOnSlotsOfOneWorkerAtOnce) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1).Worker("b", 1).Worker("c", 2).Run(1, 10, 2);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@c:0,1"));
}

// Of hosts with 2, 4 and 3 slots, which are the places 0-1, 2-5 and 6-8 of one worker.
TEST(DecideTest, ARunIsOnOneHostWhereItFitsAndOtherwiseOnTheFewest) {
  const auto placed = [](int ranks, const std::vector<int>& busy) {
    ClusterBuilder cluster;
    cluster.WorkerOnHosts("a", {2, 4, 3}).Run(1, 10, ranks);
    for (const int place : busy) cluster.Running(100 + place, 100, "a", {place});
    std::vector<std::string> slots;
    const Decided decided(cluster.state(), 0);
    for (const Assignment& one : decided.decision().assignments) {
      for (const v1::Slot& slot : one.slots) slots.push_back(slot.host() + "/" + slot.device());
    }
    return slots;
  };
  const std::string a = "host-a-0/cpu:", b = "host-a-1/cpu:", c = "host-a-2/cpu:";
  EXPECT_THAT(placed(1, {}), ElementsAre(a + "0")) << "the host with the fewest free";
  EXPECT_THAT(placed(3, {}), ElementsAre(c + "0", c + "1", c + "2"));
  EXPECT_THAT(placed(4, {}), ElementsAre(b + "0", b + "1", b + "2", b + "3"));
  EXPECT_THAT(placed(3, {7}), ElementsAre(b + "0", b + "1", b + "2"));
  EXPECT_THAT(placed(6, {}), ElementsAre(a + "0", a + "1", b + "0", b + "1", b + "2", b + "3"));
  EXPECT_THAT(placed(5, {}), ElementsAre(a + "0", b + "0", b + "1", b + "2", b + "3"));
  EXPECT_THAT(placed(9, {}), ::testing::SizeIs(9));
  EXPECT_THAT(placed(9, {0}), ::testing::IsEmpty());
}

TEST(DecideTest, AGangThatCanStartNowGoesBeforeNarrowRuns) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2);
  for (int64_t id = 1; id <= 6; ++id) cluster.Run(id, 100);
  cluster.Run(7, 100, 2);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("7@a:0,1"));
}

TEST(DecideTest, TheSlotsThatAGangWaitsForAreHeld) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Running(17, 50, "a", {0});
  cluster.Run(1, 100, 2);
  cluster.Run(2, 70);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), IsEmpty());
  EXPECT_EQ(decision.ReasonOf(1),
            "waiting: needs 2 slots on one worker; host-a has 1 free until run 17 ends");
  EXPECT_EQ(decision.ReasonOf(2),
            "waiting: the free slot of host-a is held for run 1, which needs several");
}

TEST(DecideTest, ARunThatEndsBeforeTheGangCouldStartFillsAHeldSlot) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Running(17, 50, "a", {0});
  cluster.Run(1, 100, 2);
  cluster.Run(2, 80);
  cluster.Run(3, 40);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("3@a:1"));
}

TEST(DecideTest, AGangThatWaitedLongIsNotDelayedByBackfill) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Running(17, 50, "a", {0});
  cluster.Run(1, 100, 2).waiting_since_ns = 1000;
  cluster.Run(3, 40);
  Options options;
  options.gang_patience_ns = 500;
  EXPECT_THAT(Decided(cluster.state(), 1499, options).Starts(), ElementsAre("3@a:1"));
  EXPECT_THAT(Decided(cluster.state(), 1500, options).Starts(), IsEmpty());
}

TEST(DecideTest, WhatEndsLastGoesBeforeGangsThatWaitedLong) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2);
  cluster.Run(1, 40, 2).waiting_since_ns = 0;
  cluster.Run(2, 101).waiting_since_ns = 1000;
  cluster.Run(3, 30);
  cluster.Run(4, 30);
  Options options;
  options.gang_patience_ns = 500;
  EXPECT_THAT(Decided(cluster.state(), 1000, options).Starts(), ElementsAre("2@a:0"))
      << "all work is 201 over two slots, and the other one is held";
  cluster.state().runs.at(2).duration = 99;
  EXPECT_THAT(Decided(cluster.state(), 1000, options).Starts(), ElementsAre("1@a:0,1"));
}

TEST(DecideTest, SlotsThatNoGangWaitsForAreFreeToAll) {
  ClusterBuilder cluster;
  cluster.Worker("a", 4).Running(17, 90, "a", {0});
  cluster.Running(18, 50, "a", {1});
  cluster.Running(19, 10, "a", {2});
  cluster.Worker("b", 1);
  cluster.Run(1, 100, 2);
  cluster.Run(2, 60);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("2@b:0"));
  EXPECT_EQ(decision.ReasonOf(1),
            "waiting: needs 2 slots on one worker; host-a has 1 free until run 19 ends");
}

TEST(DecideTest, AResumedRunGoesWhereItsCheckpointIs) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1).Worker("b", 2).Run(1, 10).checkpoint_root_id = "root-b";
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@b:0"));
}

TEST(DecideTest, ARunBoundToItsRootWaitsForItRatherThanGoElsewhere) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1).Worker("b", 1).Running(1, 50, "b", {0});
  RunState& bound = cluster.Run(2, 10);
  bound.checkpoint_root_id = "root-b";
  bound.bound_to_root = true;
  cluster.Run(3, 5);  // goes where the bound one may not
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("3@a:0"));
  EXPECT_EQ(decision.ReasonOf(2),
            "waiting: no slot is free, 1 is busy; only workers of one run root have its "
            "checkpoint");
  cluster.state().runs.erase(1);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), UnorderedElementsAre("2@b:0", "3@a:0"));
}

TEST(DecideTest, AGangBoundToItsRootHoldsSlotsThere) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Worker("b", 2).Running(1, 50, "a", {0}).sweep_id = 2;
  cluster.Running(4, 90, "b", {0});
  RunState& bound = cluster.Run(2, 20, 2);
  bound.checkpoint_root_id = "root-b";
  bound.bound_to_root = true;
  cluster.Run(3, 400);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("3@a:1"));
}

TEST(DecideTest, ANarrowRunLeavesTheWholeWorkerToOthers) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Worker("b", 1).Run(1, 10);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@b:0"));
}

TEST(DecideTest, ADeadWorkerGetsNothing) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1).Run(1, 10);
  cluster.state().agents.at("a").live = false;
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), IsEmpty());
  EXPECT_EQ(decision.ReasonOf(1), "waiting: no worker is connected; start one with 'allo worker'");
}

TEST(DecideTest, ABlockedRunNeverStartsAndSaysWhy) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Run(1, 10).blocked = "needs the checkpoint of run 7 at step 500";
  cluster.Run(2, 100, 4).blocked = "its sweep used up its device hours";
  cluster.Run(3, 5);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("3@a:0"));
  EXPECT_EQ(decision.ReasonOf(1), "waiting: needs the checkpoint of run 7 at step 500");
  EXPECT_EQ(decision.ReasonOf(2), "waiting: its sweep used up its device hours");
}

TEST(DecideTest, ADrainedWorkerGetsNothingNew) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Running(1, 50, "a", {0});
  cluster.Run(2, 10);
  cluster.state().agents.at("a").drained = "it killed 3 runs in a row";
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), IsEmpty());
  EXPECT_EQ(decision.ReasonOf(2), "waiting: host-a gets no runs: it killed 3 runs in a row");
  cluster.Worker("b", 1);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("2@b:0"));
}

TEST(DecideTest, AWorkerOnProbationGetsOneRunAtATime) {
  ClusterBuilder cluster;
  cluster.Worker("a", 3);
  cluster.state().agents.at("a").probation = "run 9 failed there before it got going: BUG";
  cluster.Run(1, 30);
  cluster.Run(2, 20);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("1@a:0"));
  EXPECT_EQ(decision.ReasonOf(2),
            "waiting: host-a is tried with one run first: run 9 failed there before it got going: "
            "BUG");
  cluster.Running(3, 10, "a", {1});
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), IsEmpty());
  cluster.Worker("b", 1);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@b:0"));
  cluster.state().agents.at("a").probation.clear();
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@b:0", "2@a:0"));
}

TEST(DecideTest, AGangMayBeTheOneRunOfAWorkerOnProbation) {
  ClusterBuilder cluster;
  cluster.Worker("a", 4);
  cluster.state().agents.at("a").probation = "why";
  cluster.Run(1, 40, 2);
  cluster.Run(2, 20, 2);
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@a:0,1"));
}

TEST(DecideTest, WhereEveryWorkerRestsTheFirstReasonIsSaid) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1).Worker("b", 1);
  cluster.Run(1, 10);
  for (const std::string id : {"a", "b"}) {
    cluster.state().agents.at(id).drained = absl::StrCat("no trainer ", id);
  }
  EXPECT_EQ(Decided(cluster.state(), 0).ReasonOf(1),
            "waiting: host-a gets no runs: no trainer a; 1 more workers get none either");
  cluster.state().agents.at("a").slots.clear();
  EXPECT_EQ(Decided(cluster.state(), 0).ReasonOf(1),
            "waiting: host-a gets no runs: no trainer a; 1 more workers get none either")
      << "it offers none meanwhile";
  cluster.state().agents.at("b").drained.clear();
  cluster.Run(1, 10).avoided_host = "host-b";
  EXPECT_EQ(Decided(cluster.state(), 0).ReasonOf(1), "waiting: host-a gets no runs: no trainer a");
  cluster.state().agents.erase("a");
  EXPECT_EQ(Decided(cluster.state(), 0).ReasonOf(1),
            "waiting: it failed on host-b before it got going; other runs go first there");
}

TEST(DecideTest, ARunWaitsForItsDataset) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1);
  RunState& run = cluster.Run(1, 10);
  run.dataset = "gcide-chars";
  run.dataset_hash = "1a2b3c4d5e6f7081";
  cluster.Run(2, 5).dataset_hash = "";
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("2@a:0")) << "a generated dataset is everywhere";
  EXPECT_EQ(decision.ReasonOf(1),
            "waiting: no worker has dataset gcide-chars (1a2b3c4d); put it into a worker's data "
            "directory");
}

TEST(DecideTest, ARunTooWideForEveryWorkerSaysSoAndHoldsNothing) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Run(1, 10, 4);
  cluster.Run(2, 10);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("2@a:0"));
  EXPECT_EQ(decision.ReasonOf(1), "can never start: needs 4 slots, the largest worker has 2");
}

TEST(DecideTest, ARunTakesOnlySlotsOfItsDevice) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Worker("g", 1, run::DeviceKind::kCuda).Run(1, 10).device =
      run::DeviceKind::kCuda;
  cluster.Run(2, 20).device = run::DeviceKind::kCuda;
  cluster.Run(3, 5, 2).device = std::nullopt;
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("2@g:0"));
  EXPECT_EQ(decision.ReasonOf(1), "waiting: no slot is free, 1 is busy");
  EXPECT_EQ(decision.ReasonOf(3),
            "waiting: no worker with its dataset has a slot of the kind it needs");
}

TEST(DecideTest, ASlotOfAKindThatIsNotKnownGetsNoRun) {
  ClusterBuilder cluster;
  cluster.Worker("a", 1).Run(1, 10);
  cluster.Run(2, 20).device = std::nullopt;
  cluster.state().agents.at("a").slots.front().set_device("tpu:0");
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), IsEmpty());
  EXPECT_EQ(decision.ReasonOf(1), "waiting: no worker with its dataset has a cpu slot");
}

// Between the end of an attempt and the heartbeat that calls its slot free.
TEST(DecideTest, AWorkerThatOffersNoSlotAtTheMomentIsNotOneWithoutSuchSlots) {
  ClusterBuilder cluster;
  cluster.Worker("a", 0).Worker("g", 1, run::DeviceKind::kCuda).Run(1, 10);
  EXPECT_EQ(Decided(cluster.state(), 0).ReasonOf(1),
            "waiting: host-a, which has its dataset, offers no slot at the moment");
}

TEST(DecideTest, EveryWaitingRunHasAReason) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Running(1, 10, "a", {1});
  for (int64_t id = 2; id < 30; ++id) {
    cluster.Run(id, static_cast<double>(id), static_cast<int>(id % 4) + 1);
  }
  const Decided decision(cluster.state(), 0);
  EXPECT_EQ(decision.Starts().size() + decision.reasons().size(), 28u);
  for (const auto& [run_id, reason] : decision.reasons()) EXPECT_FALSE(reason.empty());
}

// The demo: six narrow runs and a gang of similar work on two slots, started together.
TEST(DecideTest, TheQuickstartLeavesNoSlotIdleUntilItsLastRun) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2);
  std::map<int64_t, double> left = {{1, 90}, {2, 100}, {3, 110}, {4, 95}, {5, 105}, {6, 100}};
  for (const auto& [id, work] : left) cluster.Run(id, work);
  left[7] = 50;
  cluster.Run(7, 100, 2);
  double now = 0, busy = 0;
  while (!cluster.state().runs.empty()) {
    for (const Assignment& start : Decide(cluster.state(), 0).assignments) {
      cluster.state().runs.at(start.run_id).placement = {1, start.agent_id, start.slots};
    }
    int64_t next = 0;
    for (const auto& [id, run] : cluster.state().runs) {
      if (run.placement.has_value() && (next == 0 || left.at(id) < left.at(next))) next = id;
    }
    ASSERT_NE(next, 0);
    const double step = left.at(next);
    now += step;
    for (auto& [id, run] : cluster.state().runs) {
      if (!run.placement.has_value()) continue;
      busy += step * run.ranks;
      left.at(id) -= step;
      run.duration = left.at(id);
    }
    cluster.state().runs.erase(next);
  }
  EXPECT_LE(2 * now - busy, 20) << "slot time idle of " << 2 * now;
}

TEST(DecideTest, ARunThatAvoidsAHostStartsElsewhereOrWaits) {
  ClusterBuilder cluster;
  cluster.Worker("a", 2).Worker("b", 1);
  cluster.Run(1, 10).avoided_host = "host-a";
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@b:0"));
  cluster.Run(1, 10).checkpoint_root_id = "root-a";
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("1@b:0"));
  cluster.Running(2, 50, "b", {0});
  cluster.Run(3, 10);
  const Decided decision(cluster.state(), 0);
  EXPECT_THAT(decision.Starts(), ElementsAre("3@a:0"));
  EXPECT_EQ(decision.reasons().at(1),
            "waiting: no slot is free, 1 is busy; not on host-a, where it died before");
  // Nor does a gang wait for slots there.
  cluster.Worker("c", 2).Running(4, 50, "c", {0, 1});
  cluster.Run(1, 10, 2).avoided_host = "host-a";
  EXPECT_THAT(Decided(cluster.state(), 0).Starts(), ElementsAre("3@a:0"));
}

}  // namespace
}  // namespace allometry::schedule
