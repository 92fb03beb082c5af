// What ended on which host, and hosts that get no runs.
#include <string>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class HostsTest : public StoreFixture {
 protected:
  HostsTest() {
    SubmitAndRegister({"40k", "80k"});
    EXPECT_OK(store_->RegisterAgent(MakeAgent("b", "host-b", "root-b"), {"a"}));
  }
  void End(const Attempt& attempt, v1::ExitReason reason, int64_t step) {
    Spool spool(attempt.lease);
    Append(spool.Batch({spool.Point(step, "train", 3), spool.Exit(reason, step)}));
  }
  std::vector<HostEnd> Ends() {
    auto ends = store_->EndsSince(0);
    EXPECT_OK(ends);
    return *ends;
  }
};

TEST_F(HostsTest, EndsSayHowFarTheRunCameElsewhere) {
  End(Start(1, "a"), v1::KILLED, 10);
  ASSERT_THAT(Ends(), SizeIs(1));
  EXPECT_EQ(Ends()[0].host, "host-a");
  EXPECT_EQ(Ends()[0].reason, v1::KILLED);
  EXPECT_EQ(Ends()[0].step, 10);
  EXPECT_EQ(Ends()[0].step_elsewhere, 0);
  const Attempt elsewhere = Start(1, "b");
  EXPECT_EQ(Ends()[0].step_elsewhere, 0);
  Spool spool(elsewhere.lease);
  Append(spool.Batch({spool.Point(25, "train", 3)}));
  EXPECT_EQ(Ends()[0].step_elsewhere, 25) << "while it runs";
  Append(spool.Batch({spool.Exit(v1::KILLED, 25)}));
  ASSERT_THAT(Ends(), SizeIs(2));
  EXPECT_EQ(Ends()[0].step_elsewhere, 25);
  EXPECT_EQ(Ends()[1].step_elsewhere, 10);
}

TEST_F(HostsTest, OutOfMemoryThatAHalvedMicroBatchMayMendIsNoEndOfTheHost) {
  const Attempt attempt = Start(1, "a");
  Spool spool(attempt.lease);
  v1::Record numerics;
  numerics.set_sequence(1);
  numerics.mutable_numerics()->set_ranks(1);
  numerics.mutable_numerics()->set_micro_batch(8);
  spool.Point(1, "", 0);
  Append(spool.Batch({numerics, spool.Exit(v1::OOM, 0)}));
  EXPECT_THAT(Ends(), IsEmpty());
  End(Start(2, "a"), v1::OOM, 1);  // before its numerics: nothing of the micro-batch was needed
  EXPECT_THAT(Ends(), SizeIs(1));
}

// An attempt that ends without a point.
class ChargedTest : public HostsTest {
 protected:
  ChargedTest() {
    EXPECT_OK(store_->RegisterAgent(MakeAgent("c", "host-c", "root-a"), {"a", "b"}));
  }
  void Fail(int64_t run_id, const std::string& agent, v1::ExitReason reason = v1::BUG,
            const std::string& message = "no library\nthe log") {
    const Attempt attempt = Start(run_id, agent);
    Spool spool(attempt.lease);
    Append(spool.Batch({spool.Exit(reason, attempt.spec.start().step(), message)}));
  }
  void GetGoing(int64_t run_id, const std::string& agent) {
    End(Start(run_id, agent), v1::PREEMPTED, 10);
  }
  std::vector<ChargedEnd> Charged() {
    auto ends = store_->ChargedEndsSince(0);
    EXPECT_OK(ends);
    return *ends;
  }
};

TEST_F(ChargedTest, WhatNeverGotGoingIsChargedToTheHostForAsLongAsNothingDoes) {
  for (int i = 0; i < 10; ++i) {
    Fail(1, "a");
    Fail(2, "a", v1::KILLED);
    EXPECT_EQ(GetRun(1).state(), v1::PENDING);
    EXPECT_EQ(GetRun(2).state(), v1::PENDING);
  }
  EXPECT_EQ(GetRun(1).failures(), 0);
  EXPECT_EQ(GetRun(1).reason(), "BUG: no library; charged to host-a, not to the run");
  ASSERT_THAT(Charged(), SizeIs(20));
  EXPECT_EQ(Charged()[0].host, "host-a");
  EXPECT_EQ(Charged()[0].message, "no library");
  EXPECT_GT(Charged()[0].started_unix_us, 0);
  GetGoing(2, "b");
  EXPECT_THAT(Charged(), SizeIs(20)) << "another host's";
  GetGoing(2, "a");
  EXPECT_THAT(Charged(), IsEmpty()) << "it is mended";
  ASSERT_OK_AND_ASSIGN(const RunRow row, store_->GetRun(1));
  EXPECT_TRUE(row.attempt->charged_to_host);
  EXPECT_FALSE(row.attempt->made_progress);
}

TEST_F(ChargedTest, TheRunIsAtFaultWhereAnotherRunGotGoingLast) {
  GetGoing(2, "a");
  for (int tries = 1; tries <= 3; ++tries) {
    ASSERT_EQ(GetRun(1).state(), v1::PENDING);
    Fail(1, "a");
    EXPECT_EQ(GetRun(1).failures(), tries);
  }
  EXPECT_EQ(GetRun(1).state(), v1::RUN_FAILED);
  EXPECT_THAT(Charged(), IsEmpty());
}

TEST_F(ChargedTest, AHostThatBreaksCostsNoRunMoreThanATry) {
  GetGoing(2, "a");
  Fail(1, "a");
  Fail(2, "a");
  for (int i = 0; i < 5; ++i) {
    Fail(1, "a");
    Fail(2, "a");
  }
  EXPECT_EQ(GetRun(1).failures(), 1);
  EXPECT_EQ(GetRun(2).failures(), 0);
}

TEST_F(ChargedTest, AFullDiskIsAlwaysTheHosts) {
  GetGoing(2, "a");
  for (int i = 0; i < 5; ++i) End(Start(1, "a"), v1::DISK_FULL, 20);
  EXPECT_EQ(GetRun(1).state(), v1::PENDING);
  EXPECT_THAT(Charged(), SizeIs(5));
}

TEST_F(ChargedTest, GivingAHostWorkAgainForgivesWhatItWasChargedWith) {
  Fail(1, "a");
  ASSERT_OK(store_->SetDrained("host-a", "a person"));
  EXPECT_THAT(Charged(), SizeIs(1));
  ASSERT_OK(store_->SetDrained("host-a", ""));
  EXPECT_THAT(Charged(), IsEmpty());
}

TEST_F(ChargedTest, TriesAreCountedByReasonSinceTheLastNewCheckpoint) {
  const auto go = [&](v1::ExitReason reason, int64_t checkpoint) {
    const Attempt attempt = Start(1, "a");
    Spool spool(attempt.lease);
    std::vector<v1::Record> records = {spool.Point(attempt.spec.start().step() + 5, "train", 3)};
    if (checkpoint > 0) records.push_back(spool.Checkpoint(checkpoint));
    records.push_back(spool.Exit(reason, attempt.spec.start().step() + 5));
    Append(spool.Batch(records));
  };
  // Three kills with progress in between, and more.
  for (int i = 1; i <= 6; ++i) {
    go(v1::KILLED, 3 * i);
    EXPECT_EQ(GetRun(1).failures(), 1) << i;
  }
  go(v1::KILLED, 0);
  EXPECT_EQ(GetRun(1).failures(), 2);
  go(v1::BUG, 0);
  EXPECT_EQ(GetRun(1).failures(), 1) << "of another reason";
  go(v1::BUG, 9);
  EXPECT_EQ(GetRun(1).failures(), 2) << "a checkpoint that is not new makes nothing good";
  EXPECT_THAT(Sql("SELECT tries FROM runs WHERE run_id = 1"), ElementsAre("KILLED 2 BUG 2"));
  go(v1::KILLED, 0);
  EXPECT_EQ(GetRun(1).state(), v1::RUN_FAILED);
  EXPECT_EQ(GetRun(1).failure(), v1::KILLED);
  ASSERT_OK(store_->Retry("grid", {1}).status());
  EXPECT_EQ(GetRun(1).failures(), 0);
  go(v1::KILLED, 0);
  EXPECT_EQ(GetRun(1).failures(), 1);
}

TEST_F(ChargedTest, CheckpointsThatAreGoneEndNoRun) {
  const Attempt first = Start(1, "b");
  Spool spool(first.lease);
  std::vector<v1::Record> records = {spool.Point(20, "heldout", 3), spool.Point(50, "heldout", 3)};
  for (const int64_t step : {10, 20, 30, 40, 50}) records.push_back(spool.Checkpoint(step));
  records.push_back(spool.Exit(v1::PREEMPTED, 50));
  Append(spool.Batch(records));
  for (const int64_t step : {50, 40, 30, 20, 10}) {
    const Attempt attempt = Start(1, "b");
    EXPECT_EQ(attempt.spec.start().step(), step);
    Spool own(attempt.lease);
    Append(own.Batch({own.Exit(v1::CHECKPOINT, step, "no such file")}));
    EXPECT_EQ(GetRun(1).state(), v1::PENDING);
    EXPECT_EQ(GetRun(1).failures(), 0);
  }
  EXPECT_EQ(Start(1, "b").spec.start().step(), 0);
}

TEST_F(ChargedTest, ACheckpointOnASharedRunRootIsBadWhenASecondAttemptCannotReadIt) {
  const Attempt first = Start(1, "a");
  Spool spool(first.lease);
  Append(spool.Batch(
      {spool.Point(20, "heldout", 3), spool.Checkpoint(20), spool.Exit(v1::PREEMPTED, 20)}));
  const auto cannot_read = [&](const std::string& agent) {
    const Attempt attempt = Start(1, agent);
    EXPECT_EQ(attempt.spec.start().step(), 20);
    Spool own(attempt.lease);
    Append(own.Batch({own.Exit(v1::CHECKPOINT, 20, "permission denied")}));
  };
  cannot_read("c");  // host-c has the run root of host-a
  EXPECT_THAT(Sql("SELECT state FROM checkpoints"), ElementsAre("GOOD"));
  cannot_read("a");
  EXPECT_THAT(Sql("SELECT state FROM checkpoints"), ElementsAre("BAD"));
  EXPECT_EQ(GetRun(1).failures(), 0);
}

TEST_F(HostsTest, ALeaseThatCameBackIsNoEnd) {
  const Attempt attempt = Start(1, "a");
  ASSERT_OK(store_->ExpireLease(attempt.lease));
  EXPECT_THAT(Ends(), SizeIs(1));
  EXPECT_EQ(Ends()[0].reason, v1::NODE_LOST);
  ASSERT_OK(store_->ReturnLease(attempt.lease));
  EXPECT_THAT(Ends(), IsEmpty());
}

TEST_F(HostsTest, DrainedSurvivesARestartUntilGivenWorkAgain) {
  End(Start(1, "a"), v1::KILLED, 10);
  ASSERT_OK(store_->SetDrained("host-a", "3 runs died there"));
  ASSERT_OK(store_->SetDrained("host-a", "3 runs died there"));
  Reopen();
  ASSERT_OK_AND_ASSIGN(std::vector<DrainedHost> drained, store_->DrainedHosts());
  ASSERT_THAT(drained, SizeIs(1));
  EXPECT_EQ(drained[0].host, "host-a");
  EXPECT_EQ(drained[0].reason, "3 runs died there");
  EXPECT_THAT(Ends(), IsEmpty()) << "nothing more is asked of a drained host";
  ASSERT_OK(store_->SetDrained("host-a", ""));
  ASSERT_OK_AND_ASSIGN(drained, store_->DrainedHosts());
  EXPECT_THAT(drained, IsEmpty());
  EXPECT_THAT(Ends(), IsEmpty()) << "what was before is forgiven";
  End(Start(2, "a"), v1::KILLED, 10);
  EXPECT_THAT(Ends(), SizeIs(1));
  EXPECT_THAT(Sql("SELECT text FROM events WHERE text LIKE 'host-a%' ORDER BY event_id"),
              ElementsAre("host-a is drained: 3 runs died there", "host-a gets runs again"));
}

TEST_F(HostsTest, AHostThatIsNotKnownIsRefusedWithThoseThatAre) {
  EXPECT_THAT(store_->SetDrained("host-x", "why"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is host-a, host-b")));
}

}  // namespace
}  // namespace allometry::store
