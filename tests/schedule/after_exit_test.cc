#include "coordinator/schedule/after_exit.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::schedule {
namespace {

using ::testing::HasSubstr;

struct Row {
  v1::ExitReason reason;
  int failures, lost_leases;  // before
  v1::RunState state;         // then
  v1::ExitReason failure;
  int failures_after, lost_leases_after;
};

constexpr auto kNone = v1::EXIT_REASON_UNSPECIFIED;
constexpr Row kRows[] = {
    {v1::SUCCEEDED, 2, 4, v1::RUN_SUCCEEDED, kNone, 2, 4},
    {v1::DIVERGED, 0, 0, v1::RUN_FAILED, v1::DIVERGED, 1, 0},
    {v1::DATA, 0, 0, v1::PENDING, kNone, 1, 0},
    {v1::DATA, 2, 0, v1::RUN_FAILED, v1::DATA, 3, 0},
    {v1::PREEMPTED, 2, 4, v1::PENDING, kNone, 2, 4},
    {v1::LEASE_LOST, 2, 0, v1::PENDING, kNone, 2, 1},
    {v1::AGENT_LOST, 2, 3, v1::PENDING, kNone, 2, 4},
    {v1::NODE_LOST, 0, 4, v1::RUN_FAILED, v1::NODE_LOST, 0, 5},
    {v1::AGENT_LOST, 0, 4, v1::RUN_FAILED, v1::NODE_LOST, 0, 5},
    {v1::OOM, 0, 0, v1::PENDING, kNone, 1, 0},
    {v1::OOM, 2, 0, v1::RUN_FAILED, v1::OOM, 3, 0},
    {v1::KILLED, 1, 2, v1::PENDING, kNone, 2, 2},
    {v1::KILLED, 2, 0, v1::RUN_FAILED, v1::KILLED, 3, 0},
    {v1::BUG, 2, 0, v1::RUN_FAILED, v1::BUG, 3, 0},
    {v1::DEVICE, 0, 0, v1::PENDING, kNone, 1, 0},
    {v1::DISK_FULL, 2, 0, v1::PENDING, kNone, 2, 0},
    {v1::CHECKPOINT, 0, 0, v1::PENDING, kNone, 1, 0},
    {v1::CANCELLED_BY_USER, 1, 1, v1::RUN_CANCELLED, kNone, 1, 1},
    {v1::STALLED, 0, 0, v1::PENDING, kNone, 1, 0},
    {v1::STALLED, 2, 0, v1::RUN_FAILED, v1::STALLED, 3, 0},
    {v1::LIMIT, 1, 2, v1::RUN_FAILED, v1::LIMIT, 1, 2},
    {v1::STOPPED_EARLY, 0, 0, v1::RUN_FAILED, v1::STOPPED_EARLY, 0, 0},
    {v1::UNFIT_MODEL, 0, 0, v1::RUN_FAILED, v1::UNFIT_MODEL, 1, 0},
    {v1::ENVIRONMENT, 0, 0, v1::PENDING, kNone, 1, 0},
    {v1::ENVIRONMENT, 2, 0, v1::RUN_FAILED, v1::ENVIRONMENT, 3, 0},
};

TEST(AfterExitTest, EveryReasonHasItsRule) {
  for (const Row& row : kRows) {
    Ended ended;
    ended.reason = row.reason;
    ended.message = "what happened";
    ended.failures = row.failures;
    ended.lost_leases = row.lost_leases;
    const Outcome outcome = AfterExit(ended);
    const std::string name = v1::ExitReason_Name(row.reason);
    EXPECT_EQ(outcome.state, row.state) << name;
    EXPECT_EQ(outcome.failure, row.failure) << name;
    EXPECT_EQ(outcome.failures, row.failures_after) << name;
    EXPECT_EQ(outcome.lost_leases, row.lost_leases_after) << name;
    EXPECT_FALSE(outcome.start_is_bad) << name;
    EXPECT_EQ(outcome.charged_to_host, row.reason == v1::DISK_FULL) << name;
    EXPECT_EQ(outcome.reason.empty(), row.reason == v1::SUCCEEDED) << name;
  }
}

TEST(AfterExitTest, NoReasonIsMissingFromTheTable) {
  for (int reason = v1::SUCCEEDED; reason <= v1::ExitReason_MAX; ++reason) {
    bool found = false;
    for (const Row& row : kRows) found = found || row.reason == reason;
    EXPECT_TRUE(found) << v1::ExitReason_Name(static_cast<v1::ExitReason>(reason));
  }
}

TEST(AfterExitTest, RetriesOfEveryReasonEnd) {
  for (int reason = v1::DIVERGED; reason <= v1::ExitReason_MAX; ++reason) {
    // Asked for, not a fault; its host's, never its own.
    if (reason == v1::PREEMPTED || reason == v1::DISK_FULL) continue;
    Ended ended;
    ended.reason = static_cast<v1::ExitReason>(reason);
    int attempts = 0;
    for (Outcome outcome; outcome.state == v1::PENDING && attempts < 100; ++attempts) {
      outcome = AfterExit(ended);
      ended.failures = outcome.failures;
      ended.lost_leases = outcome.lost_leases;
    }
    EXPECT_LE(attempts, 5) << v1::ExitReason_Name(ended.reason);
  }
}

// A try that ended before it got going, on a host where others did as `others` says.
Ended Stillborn(v1::ExitReason reason, OtherRuns others, int failures = 2) {
  Ended ended;
  ended.reason = reason;
  ended.message = "libcudart.so.13: cannot open shared object file";
  ended.host = "host-a";
  ended.made_progress = false;
  ended.others = others;
  ended.failures = failures;
  return ended;
}

constexpr v1::ExitReason kAHostsReasons[] = {v1::KILLED,      v1::STALLED,   v1::BUG,
                                             v1::DATA,        v1::DEVICE,    v1::DISK_FULL,
                                             v1::ENVIRONMENT, v1::CHECKPOINT};

TEST(AfterExitTest, WhatEndsBeforeItGetsGoingIsChargedToAHostWhereNoOtherGotGoing) {
  for (const v1::ExitReason reason : kAHostsReasons) {
    for (const OtherRuns others : {OtherRuns::kUnknown, OtherRuns::kMadeNone}) {
      const Outcome outcome = AfterExit(Stillborn(reason, others));
      EXPECT_EQ(outcome.state, v1::PENDING) << v1::ExitReason_Name(reason);
      EXPECT_TRUE(outcome.charged_to_host) << v1::ExitReason_Name(reason);
      EXPECT_EQ(outcome.failures, 2) << v1::ExitReason_Name(reason);
    }
  }
  EXPECT_EQ(AfterExit(Stillborn(v1::BUG, OtherRuns::kUnknown)).reason,
            "BUG: libcudart.so.13: cannot open shared object file; charged to host-a, not to the "
            "run");
}

TEST(AfterExitTest, WhereAnotherRunGotGoingTheRunIsAtFault) {
  for (const v1::ExitReason reason : kAHostsReasons) {
    if (reason == v1::DISK_FULL) continue;
    const Outcome outcome = AfterExit(Stillborn(reason, OtherRuns::kMadeProgress));
    EXPECT_EQ(outcome.state, v1::RUN_FAILED) << v1::ExitReason_Name(reason);
    EXPECT_FALSE(outcome.charged_to_host) << v1::ExitReason_Name(reason);
  }
}

TEST(AfterExitTest, WhatGotGoingAndIsLostWithItsWorkerIsNoHostsCause) {
  for (const v1::ExitReason reason : {v1::AGENT_LOST, v1::LEASE_LOST, v1::NODE_LOST, v1::DIVERGED,
                                      v1::PREEMPTED, v1::CANCELLED_BY_USER}) {
    EXPECT_FALSE(HostMayBeAtFault(reason)) << v1::ExitReason_Name(reason);
    EXPECT_FALSE(AfterExit(Stillborn(reason, OtherRuns::kUnknown, 0)).charged_to_host);
  }
}

TEST(AfterExitTest, AStartThatCannotBeReadIsNoFailureOfTheRun) {
  Ended ended;
  ended.reason = v1::CHECKPOINT;
  ended.message = "checkpoint-000000000060.safetensors: no such file";
  ended.made_progress = false;
  ended.has_start = true;
  ended.failures = 2;
  Outcome outcome = AfterExit(ended);
  EXPECT_EQ(outcome.state, v1::PENDING);
  EXPECT_EQ(outcome.failures, 2);
  EXPECT_TRUE(outcome.start_is_bad);
  EXPECT_FALSE(outcome.charged_to_host);
  ended.start_may_be_read_elsewhere = true;
  outcome = AfterExit(ended);
  EXPECT_EQ(outcome.state, v1::PENDING);
  EXPECT_FALSE(outcome.start_is_bad) << "another host of that run root has not tried yet";
}

TEST(AfterExitTest, ACancelledRunIsCancelledUnlessItEndedByItself) {
  Ended ended;
  ended.cancel_asked = true;
  for (const v1::ExitReason reason : {v1::PREEMPTED, v1::KILLED, v1::NODE_LOST, v1::DATA}) {
    ended.reason = reason;
    EXPECT_EQ(AfterExit(ended).state, v1::RUN_CANCELLED) << v1::ExitReason_Name(reason);
  }
  ended.reason = v1::SUCCEEDED;
  EXPECT_EQ(AfterExit(ended).state, v1::RUN_SUCCEEDED);
  ended.reason = v1::DIVERGED;
  EXPECT_EQ(AfterExit(ended).state, v1::RUN_FAILED);
}

TEST(AfterExitTest, TheMessageIsPartOfTheReason) {
  Ended ended;
  ended.reason = v1::OOM;
  ended.message = "tried 3 GiB";
  EXPECT_EQ(AfterExit(ended).reason, "failed 1 of 3 times: OOM: tried 3 GiB; starts again");
  ended.failures = 2;
  EXPECT_THAT(AfterExit(ended).reason, HasSubstr("failed 3 times, the last with OOM"));
}

TEST(AfterExitTest, OutOfMemoryHalvesTheMicroBatchFreeOfChargeDownToOneSequence) {
  Ended ended;
  ended.reason = v1::OOM;
  ended.message = "tried 3 GiB";
  ended.micro_batch = 12;
  std::vector<int64_t> tried;
  Outcome outcome;
  for (int i = 0; i < 20; ++i) {
    outcome = AfterExit(ended);
    if (outcome.state != v1::PENDING || outcome.micro_batch == 0) break;
    EXPECT_EQ(outcome.failures, 0);
    tried.push_back(ended.micro_batch = outcome.micro_batch);
  }
  EXPECT_THAT(tried, ::testing::ElementsAre(6, 3, 1));
  EXPECT_EQ(outcome.failures, 1) << "with one sequence at a time it counts";
  for (ended.failures = 1; outcome.state == v1::PENDING; ended.failures = outcome.failures) {
    outcome = AfterExit(ended);
    EXPECT_EQ(outcome.micro_batch, 0);
  }
  EXPECT_EQ(outcome.state, v1::RUN_FAILED);
  EXPECT_EQ(outcome.failure, v1::OOM);
  EXPECT_EQ(outcome.failures, 3);
  EXPECT_THAT(outcome.reason, HasSubstr("1 sequence at a time already"));
}

TEST(AfterExitTest, TheHalvingSaysWhatItDoes) {
  Ended ended;
  ended.reason = v1::OOM;
  ended.message = "tried 3 GiB";
  ended.micro_batch = 8;
  EXPECT_EQ(
      AfterExit(ended).reason,
      "OOM: tried 3 GiB with 8 sequences at once on a rank; goes on with 4 at the same global "
      "batch, not counted as a failure");
}

TEST(AfterExitTest, OnlyOutOfMemoryChangesTheMicroBatch) {
  for (int reason = v1::SUCCEEDED; reason <= v1::ExitReason_MAX; ++reason) {
    Ended ended;
    ended.reason = static_cast<v1::ExitReason>(reason);
    ended.micro_batch = 8;
    EXPECT_EQ(AfterExit(ended).micro_batch, reason == v1::OOM ? 4 : 0);
  }
}

TEST(AfterExitTest, MicroBatchOfASpecIsItsShareUnlessItIsSmaller) {
  v1::RunSpec spec;
  spec.mutable_identity()->mutable_shape()->set_context(64);
  spec.mutable_identity()->set_batch_tokens(64 * 10);
  spec.set_ranks(1);
  EXPECT_EQ(MicroBatchOf(spec), 10);
  spec.set_ranks(3);
  EXPECT_EQ(MicroBatchOf(spec), 4) << "the largest share";
  spec.set_micro_batch(3);
  EXPECT_EQ(MicroBatchOf(spec), 3);
  spec.set_micro_batch(9);
  EXPECT_EQ(MicroBatchOf(spec), 4);
}

TEST(AfterExitTest, ARunThatWasToEndDoesNotStartAgainWhateverEndsIt) {
  Ended ended;
  ended.stop_for = v1::LIMIT;
  ended.stop_message = "used 2.1 of 2 device-hours";
  ended.micro_batch = 8;
  for (const v1::ExitReason reason :
       {v1::PREEMPTED, v1::KILLED, v1::NODE_LOST, v1::OOM, v1::STALLED}) {
    ended.reason = reason;
    const Outcome outcome = AfterExit(ended);
    EXPECT_EQ(outcome.state, v1::RUN_FAILED) << v1::ExitReason_Name(reason);
    EXPECT_EQ(outcome.failure, v1::LIMIT);
    EXPECT_EQ(outcome.reason, "used 2.1 of 2 device-hours");
  }
  ended.reason = v1::SUCCEEDED;
  EXPECT_EQ(AfterExit(ended).state, v1::RUN_SUCCEEDED);
  ended.reason = v1::KILLED;
  ended.cancel_asked = true;
  EXPECT_EQ(AfterExit(ended).state, v1::RUN_CANCELLED);
}

}  // namespace
}  // namespace allometry::schedule
