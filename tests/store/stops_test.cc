// Runs that are told to stop, and what out of memory makes of a run.
#include <string>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StopsTest : public StoreFixture {
 protected:
  // The newest attempt of run 1 ends so.
  void End(const Attempt& attempt, v1::ExitReason reason, const std::string& message = "") {
    Spool spool(attempt.lease);
    Append(spool.Batch({spool.Exit(reason, attempt.spec.start().step(), message)}));
  }
};

TEST_F(StopsTest, OutOfMemoryHalvesTheMicroBatchOfTheNextAttemptUntilOneSequence) {
  Submission submission = MakeSubmission();
  submission.new_runs[0].mutable_spec()->mutable_identity()->mutable_shape()->set_context(10);
  ASSERT_OK(store_->Submit(submission));  // 100 tokens: 10 sequences
  ASSERT_OK(store_->RegisterAgent(MakeAgent("a", "host-a", "root-a"), {}));
  for (const int expected : {5, 2, 1}) {
    const Attempt attempt = Start();
    End(attempt, v1::OOM, "tried 3 GiB\nthe log");
    const v1::Run run = GetRun();
    EXPECT_EQ(run.state(), v1::PENDING);
    EXPECT_EQ(run.spec().micro_batch(), expected);
    EXPECT_EQ(run.spec().identity().batch_tokens(), 100);
    EXPECT_EQ(run.failures(), 0);
    EXPECT_THAT(run.reason(), HasSubstr("tried 3 GiB with"));
  }
  for (int failures = 1; failures <= 3; ++failures) {
    ASSERT_EQ(GetRun().state(), v1::PENDING);
    const Attempt attempt = Start();
    EXPECT_EQ(attempt.spec.micro_batch(), 1);
    End(attempt, v1::OOM);
    EXPECT_EQ(GetRun().failures(), failures);
  }
  EXPECT_EQ(GetRun().state(), v1::RUN_FAILED);
  EXPECT_EQ(GetRun().failure(), v1::OOM);
  EXPECT_THAT(GetRun().reason(), HasSubstr("1 sequence at a time already"));
}

TEST_F(StopsTest, ALateExitRecordOfTheSameOutOfMemoryIsNotHalvedTwice) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  const v1::RecordBatch batch = spool.Batch({spool.Exit(v1::OOM, 0)});
  Append(batch);
  const int after_one = GetRun().spec().micro_batch();
  EXPECT_GT(after_one, 0);
  Append(batch);
  EXPECT_EQ(GetRun().spec().micro_batch(), after_one);
}

TEST_F(StopsTest, PreemptAsksOnlyLeasedRunsAndKeepsTheTime) {
  SubmitAndRegister({"40k", "80k"});
  Start(1);
  ASSERT_OK_AND_ASSIGN(int asked, store_->Preempt("grid", {}, 1500));
  EXPECT_EQ(asked, 1);
  ASSERT_OK_AND_ASSIGN(RunRow row, store_->GetRun(1));
  EXPECT_EQ(row.attempt->stop, StopAsked::kPreempt);
  EXPECT_EQ(row.attempt->stop_within_ms, 1500);
  ASSERT_OK_AND_ASSIGN(asked, store_->Preempt("grid", {2}, 0));
  EXPECT_EQ(asked, 0);
  EXPECT_THAT(store_->Preempt("grid", {77}, 0),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no run 77")));
  // A wish to cancel is stronger, and stays.
  ASSERT_OK(store_->Cancel("grid", {1}));
  ASSERT_OK(store_->Preempt("grid", {1}, 500));
  ASSERT_OK_AND_ASSIGN(row, store_->GetRun(1));
  EXPECT_EQ(row.attempt->stop, StopAsked::kCancel);
}

TEST_F(StopsTest, OfTwoTimesToStopTheShorterHolds) {
  SubmitAndRegister();
  Start();
  const auto within = [&] { return store_->GetRun(1)->attempt->stop_within_ms; };
  ASSERT_OK(store_->AskToStop(1, StopAsked::kPreempt));
  EXPECT_EQ(within(), 0);
  ASSERT_OK(store_->AskToStop(1, StopAsked::kPreempt, 2000));
  ASSERT_OK(store_->AskToStop(1, StopAsked::kPreempt, 3000));
  EXPECT_EQ(within(), 2000);
  ASSERT_OK(store_->AskToStop(1, StopAsked::kPreempt, 0));
  EXPECT_EQ(within(), 2000);
  // By hand likewise.
  ASSERT_OK(store_->Preempt("grid", {}, 60'000));
  EXPECT_EQ(within(), 2000);
  ASSERT_OK(store_->Preempt("grid", {}, 0));
  EXPECT_EQ(within(), 2000);
  ASSERT_OK(store_->Preempt("grid", {}, 1000));
  EXPECT_EQ(within(), 1000);
  ASSERT_OK(store_->Cancel("grid", {}));
  EXPECT_EQ(within(), 1000);
}

TEST_F(StopsTest, APreemptedRunGoesOnFreeOfChargeFromItsCheckpoint) {
  SubmitAndRegister();
  const Attempt attempt = TrainToStep70();
  ASSERT_OK(store_->Preempt("grid", {}, 0));
  Spool spool(attempt.lease);
  for (int i = 0; i < 9; ++i) spool.Point(1, "", 0);  // what was sent before
  Append(spool.Batch({spool.Checkpoint(72), spool.Exit(v1::PREEMPTED, 72)}));
  EXPECT_EQ(GetRun().state(), v1::PENDING);
  EXPECT_EQ(GetRun().failures(), 0);
  EXPECT_EQ(GetRun().lost_leases(), 0);
  const Attempt next = Start();
  EXPECT_EQ(next.spec.start().step(), 72);
  EXPECT_EQ(next.stop, StopAsked::kNone) << "the wish was the old attempt's";
}

TEST_F(StopsTest, ARunThatReachedItsLimitWritesACheckpointAndStays) {
  SubmitAndRegister({"40k", "80k"});
  const Attempt attempt = Start(1);
  const std::string sentence = "used 2.1 of 2 device-hours; raise max_run_hours, then 'allo retry'";
  ASSERT_OK(store_->EndEarly(1, v1::LIMIT, sentence));
  EXPECT_EQ(GetRun(1).state(), v1::LEASED);
  EXPECT_EQ(store_->GetRun(1)->attempt->stop, StopAsked::kPreempt);
  // Killed on the way: the limit holds all the same.
  End(attempt, v1::KILLED);
  EXPECT_EQ(GetRun(1).state(), v1::RUN_FAILED);
  EXPECT_EQ(GetRun(1).failure(), v1::LIMIT);
  EXPECT_EQ(GetRun(1).reason(), sentence);
  // One that waits ends at once.
  ASSERT_OK(store_->EndEarly(2, v1::STOPPED_EARLY, "beyond its range"));
  EXPECT_EQ(GetRun(2).state(), v1::RUN_FAILED);
  EXPECT_EQ(GetRun(2).failure(), v1::STOPPED_EARLY);
  EXPECT_THAT(store_->EndEarly(2, v1::LIMIT, "again"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("FAILED already")));
  EXPECT_THAT(Sql("SELECT text FROM events WHERE run_id = 2"),
              ElementsAre(HasSubstr("ended as STOPPED_EARLY: beyond its range")));
  // And comes back by hand.
  ASSERT_OK(store_->Retry("grid", {1}));
  EXPECT_EQ(GetRun(1).state(), v1::PENDING);
  End(Start(1), v1::KILLED);
  EXPECT_EQ(GetRun(1).state(), v1::PENDING) << "the new attempt was not asked to end";
}

TEST_F(StopsTest, WhatAFailedRunSaidLastIsKeptWithItsLog) {
  SubmitAndRegister({"40k", "80k"});
  for (int i = 0; i < 3; ++i) {
    Spool spool(Start(1).lease);
    Append(spool.Batch({spool.Point(5, "train", 3),
                        spool.Exit(v1::BUG, 5, "ended with code 1\nline one\nline two")}));
  }
  EXPECT_EQ(GetRun(1).state(), v1::RUN_FAILED);
  ASSERT_OK_AND_ASSIGN(const auto words, store_->FailureLogs("grid"));
  ASSERT_EQ(words.size(), 1u);
  EXPECT_THAT(words.at(1), AllOf(HasSubstr("line one\nline two"), HasSubstr("code 1")));
}

TEST_F(StopsTest, MemoryIsTheHighestSeenAndNoCurve) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  const v1::RecordAck ack =
      Append(spool.Batch({spool.Point(10, "memory_bytes", 5e9), spool.Point(10, "train", 4),
                          spool.Point(20, "memory_bytes", 3e9)}));
  EXPECT_EQ(ack.durable_sequence(), 3u);
  EXPECT_EQ(GetRun().memory_bytes(), 5'000'000'000);
  EXPECT_THAT(Sql("SELECT count(*) FROM points"), ElementsAre("1"));
  Append(spool.Batch({spool.Exit(v1::OOM, 20)}));
  EXPECT_EQ(GetRun().memory_bytes(), 0) << "what it needs with half the micro-batch is not known";
}

}  // namespace
}  // namespace allometry::store
