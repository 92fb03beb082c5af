#include <string>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AttemptsTest : public StoreFixture {};

v1::GivenBack MakeGivenBack(const v1::Lease& lease) {
  v1::GivenBack given_back;
  *given_back.mutable_lease() = lease;
  given_back.set_reason(v1::AGENT_LOST);
  return given_back;
}

TEST_F(AttemptsTest, AFirstAttemptStartsFromStepZeroWithAFreshToken) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  EXPECT_EQ(attempt.lease.attempt(), 1);
  EXPECT_EQ(attempt.lease.token().size(), 32u);
  EXPECT_FALSE(attempt.spec.has_start());
  EXPECT_EQ(GetRun().state(), v1::LEASED);
  EXPECT_EQ(GetRun().agent(), "host-a");
  ASSERT_OK_AND_ASSIGN(const RunRow row, store_->GetRun(1));
  ASSERT_TRUE(row.attempt.has_value());
  EXPECT_EQ(row.attempt->lease.token(), attempt.lease.token());
  ASSERT_EQ(row.attempt->slots.size(), 1u);
  EXPECT_EQ(row.attempt->slots[0].device(), "cpu:0");
}

TEST_F(AttemptsTest, ALeasedRunIsNotGivenToASecondAgent) {
  SubmitAndRegister();
  ASSERT_OK(store_->RegisterAgent(MakeAgent("b", "host-b", "root-b"), {"a"}));
  Start();
  EXPECT_THAT(store_->StartAttempt(1, "b", {MakeSlot("host-b", "cpu:0")}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("LEASED")));
  EXPECT_THAT(store_->StartAttempt(1, "nobody", {}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(GetRun().attempt(), 1);
}

TEST_F(AttemptsTest, ADeviceOfAnotherLiveAgentIsRefusedByName) {
  SubmitAndRegister();
  EXPECT_THAT(store_->RegisterAgent(MakeAgent("b", "host-a", "root-b"), {"a"}),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       HasSubstr("device cpu:0 of host-a is held by the worker on host-a")));
  EXPECT_OK(store_->RegisterAgent(MakeAgent("b", "host-a", "root-b"), {}));
}

TEST_F(AttemptsTest, AnAgentIsReplacedAsAWhole) {
  v1::RegisterRequest request = MakeAgent("a", "host-a", "root-a", 3);
  v1::Dataset& dataset = *request.add_datasets();
  dataset.set_name("text");
  dataset.set_hash("aa");
  ASSERT_OK(store_->RegisterAgent(request, {}));
  ASSERT_OK(store_->RegisterAgent(MakeAgent("a", "host-a", "root-a", 2), {}));
  EXPECT_THAT(Sql("SELECT device FROM agent_slots"), ElementsAre("cpu:0", "cpu:1"));
  EXPECT_THAT(Sql("SELECT hash FROM agent_datasets"), IsEmpty());
  ASSERT_OK(store_->UpdateAgentDatasets("a", {dataset}));
  EXPECT_THAT(Sql("SELECT hash FROM agent_datasets"), ElementsAre("aa"));
}

TEST_F(AttemptsTest, AnExpiredLeaseReturnsToItsAgentUnlessGivenAway) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  ASSERT_OK(store_->ExpireLease(attempt.lease));
  EXPECT_EQ(GetRun().state(), v1::PENDING);
  EXPECT_EQ(GetRun().lost_leases(), 1);
  EXPECT_THAT(store_->ExpireLease(attempt.lease), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(store_->ReturnLease(attempt.lease));
  EXPECT_EQ(GetRun().state(), v1::LEASED);
  EXPECT_EQ(GetRun().lost_leases(), 0);

  ASSERT_OK(store_->ExpireLease(attempt.lease));
  const Attempt second = Start();
  EXPECT_EQ(second.lease.attempt(), 2);
  EXPECT_THAT(store_->ReturnLease(attempt.lease),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("attempt 2 has started")));
  EXPECT_THAT(Sql("SELECT state, exit_reason FROM attempts ORDER BY attempt"),
              ElementsAre("ENDED|NODE_LOST", "LEASED|"));
}

TEST_F(AttemptsTest, ASpoolIsTakenAfterItsLeaseRanOut) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  ASSERT_OK(store_->ExpireLease(attempt.lease));
  const v1::RecordAck ack = Append(spool.Batch(
      {spool.Point(20, "heldout", 4), spool.Checkpoint(20), spool.Exit(v1::LEASE_LOST, 20)}));
  EXPECT_FALSE(ack.stale());
  EXPECT_EQ(ack.durable_sequence(), 3u);
  EXPECT_EQ(GetRun().state(), v1::PENDING);
  EXPECT_EQ(GetRun().lost_leases(), 0) << "a new checkpoint ends the row of lost leases";
  EXPECT_EQ(Start().spec.start().step(), 20);
}

TEST_F(AttemptsTest, TooManyLostLeasesWithoutACheckpointFailTheRun) {
  SubmitAndRegister();
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(GetRun().state(), v1::PENDING) << i;
    ASSERT_OK(store_->ExpireLease(Start().lease));
  }
  EXPECT_EQ(GetRun().state(), v1::RUN_FAILED);
  EXPECT_EQ(GetRun().failure(), v1::NODE_LOST);
  EXPECT_EQ(GetRun().failures(), 0);
}

TEST_F(AttemptsTest, AGivenBackAttemptCountsOnceAndItsSpoolMayFollow) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  ASSERT_OK(store_->GiveBack(MakeGivenBack(attempt.lease)));
  ASSERT_OK(store_->GiveBack(MakeGivenBack(attempt.lease)));
  EXPECT_EQ(GetRun().state(), v1::PENDING);
  EXPECT_EQ(GetRun().lost_leases(), 1);
  Append(spool.Batch({spool.Point(20, "heldout", 4), spool.Point(50, "heldout", 3),
                      spool.Point(100, "heldout", 2), spool.Exit(v1::SUCCEEDED, 100)}));
  EXPECT_EQ(GetRun().state(), v1::RUN_SUCCEEDED);
}

TEST_F(AttemptsTest, AStaleTokenIsRefusedForPointsCheckpointsAndCompletion) {
  SubmitAndRegister();
  const Attempt zombie = Start();
  ASSERT_OK(store_->ExpireLease(zombie.lease));
  const Attempt live = Start();
  Spool spool(zombie.lease);
  for (const v1::Record& record :
       {spool.Point(20, "heldout", 9), spool.Checkpoint(20), spool.Exit(v1::SUCCEEDED, 100)}) {
    const v1::RecordAck ack = Append(spool.Batch({record}));
    EXPECT_TRUE(ack.stale());
    EXPECT_THAT(ack.message(), HasSubstr("attempt 2 has started"));
  }
  EXPECT_THAT(store_->GiveBack(MakeGivenBack(zombie.lease)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  v1::Lease forged = live.lease;
  forged.set_token(std::string(32, '0'));
  Spool forger(forged);
  EXPECT_TRUE(Append(forger.Batch({forger.Point(20, "heldout", 9)})).stale());
  EXPECT_THAT(Sql("SELECT count(*) FROM points"), ElementsAre("0"));
  EXPECT_THAT(Sql("SELECT count(*) FROM checkpoints"), ElementsAre("0"));
  EXPECT_EQ(GetRun().state(), v1::LEASED);
}

TEST_F(AttemptsTest, AResumedAttemptArchivesLaterPointsAndKeepsCellsDone) {
  SubmitAndRegister();
  const Attempt first = TrainToStep70();
  Spool late(first.lease);
  ASSERT_OK(store_->ExpireLease(first.lease));
  const Attempt second = Start();
  EXPECT_EQ(second.spec.start().step(), 60);
  EXPECT_EQ(second.spec.start().attempt(), 1);
  EXPECT_EQ(second.spec.start().hash(), "0123456789abcdef");
  EXPECT_EQ(GetRun().step(), 60);
  EXPECT_THAT(
      Sql("SELECT series, step FROM curves ORDER BY step, series"),
      ElementsAre("train|10", "heldout|20", "train|20", "train|30", "heldout|50", "train|60"));
  EXPECT_THAT(Sql("SELECT attempt, step FROM archived_points"), ElementsAre("1|70"));
}

TEST_F(AttemptsTest, WithoutAReachableCheckpointItStartsOverAndSaysWhy) {
  SubmitAndRegister();
  ASSERT_OK(store_->RegisterAgent(MakeAgent("b", "host-b", "root-b"), {"a"}));
  ASSERT_OK(store_->ExpireLease(TrainToStep70().lease));
  const Attempt second = Start(1, "b");
  EXPECT_FALSE(second.spec.has_start());
  EXPECT_THAT(second.start_note, HasSubstr("its checkpoint at step 60 is under run root root-a"));
  EXPECT_THAT(Sql("SELECT series, step, attempt FROM curves"), ElementsAre("heldout|50|1"))
      << "the evaluation that ends a cell stays until the new one is there";
  EXPECT_THAT(Sql("SELECT done FROM cell_results ORDER BY step"), ElementsAre("1", "0"));

  Spool spool(second.lease);
  Append(spool.Batch({spool.Point(20, "heldout", 3.95), spool.Point(50, "heldout", 3.5)}));
  EXPECT_THAT(Sql("SELECT step, value, attempt FROM curves WHERE series = 'heldout'"),
              ElementsAre("20|3.95|2", "50|3.5|2"));
  EXPECT_THAT(Sql("SELECT attempt, step FROM archived_points WHERE series_id = 1 ORDER BY step"),
              ElementsAre("1|20", "1|50"));
}

TEST_F(AttemptsTest, AStartLiesBeforeTheFirstEvaluationThatIsNotStored) {
  SubmitAndRegister();
  const Attempt first = TrainToStep70();
  ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));
  Submission more = MakeSubmission({});
  more.sweep.set_sweep_id(stored.sweep.sweep_id());
  more.based_on = stored.newest_expansion;
  more.changed_runs.push_back({1, MakeSpec(100, {20, 40, 50, 100})});
  ASSERT_OK(store_->Submit(more));
  ASSERT_OK(store_->ExpireLease(first.lease));
  EXPECT_EQ(Start().spec.start().step(), 30);
}

TEST_F(AttemptsTest, ABadStartIsMarkedAndTheOneBeforeIsNamed) {
  SubmitAndRegister();
  ASSERT_OK(store_->ExpireLease(TrainToStep70().lease));
  const Attempt second = Start();
  ASSERT_EQ(second.spec.start().step(), 60);
  Spool spool(second.lease);
  Append(spool.Batch({spool.Exit(v1::CHECKPOINT, 60, "hash differs")}));
  EXPECT_EQ(GetRun().state(), v1::PENDING);
  EXPECT_EQ(GetRun().failures(), 0);
  EXPECT_EQ(Start().spec.start().step(), 30);
}

TEST_F(AttemptsTest, SuccessIsTakenAtItsWordOnlyWithEveryEvaluation) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Point(20, "heldout", 4), spool.Point(100, "heldout", 2),
                      spool.Exit(v1::SUCCEEDED, 100)}));
  EXPECT_EQ(GetRun().state(), v1::PENDING);
  EXPECT_EQ(GetRun().failures(), 1);
  EXPECT_THAT(GetRun().reason(), HasSubstr("the evaluation at step 50 is not stored"));
}

TEST_F(AttemptsTest, ABudgetThatGrewDuringTheAttemptLeavesTheRunPending) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));
  Submission more = MakeSubmission({});
  more.sweep.set_sweep_id(stored.sweep.sweep_id());
  more.based_on = stored.newest_expansion;
  more.changed_runs.push_back({1, MakeSpec(200, {20, 50, 100, 200})});
  ASSERT_OK(store_->Submit(more));
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Point(20, "heldout", 4), spool.Point(50, "heldout", 3),
                      spool.Point(100, "heldout", 2), spool.Checkpoint(100),
                      spool.Exit(v1::SUCCEEDED, 100)}));
  EXPECT_EQ(GetRun().state(), v1::PENDING);
  EXPECT_EQ(GetRun().failures(), 0);
  const Attempt second = Start();
  EXPECT_EQ(second.spec.start().step(), 100);
  EXPECT_EQ(second.spec.steps(), 200);
}

TEST_F(AttemptsTest, ARunAskedToCancelIsCancelledHoweverItsAttemptEnds) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  ASSERT_OK(store_->Cancel("grid", {}));
  ASSERT_OK(store_->AskToStop(1, StopAsked::kPreempt));
  ASSERT_OK_AND_ASSIGN(const RunRow row, store_->GetRun(1));
  EXPECT_EQ(row.attempt->stop, StopAsked::kCancel);
  ASSERT_OK(store_->ExpireLease(attempt.lease));
  EXPECT_EQ(GetRun().state(), v1::RUN_CANCELLED);
  EXPECT_THAT(store_->ReturnLease(attempt.lease), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(store_->AskToStop(1, StopAsked::kPreempt),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(AttemptsTest, TheFoldOfCommittedChangesIsWhatTheRowsSay) {
  std::map<int64_t, RunRow> view;
  options_.committed = [&view](absl::Span<const RunRow> rows) {
    for (const RunRow& row : rows) {
      if (row.run.state() == v1::PENDING || row.run.state() == v1::LEASED) {
        view[row.run.run_id()] = row;
      } else {
        view.erase(row.run.run_id());
      }
    }
  };
  Reopen();
  const auto describe = [](const RunRow& row) {
    return absl::StrCat(row.run.run_id(), " ", row.sweep, " ", row.priority, " ", row.run.state(),
                        " ", row.run.attempt(), " ", row.run.lost_leases(), " ",
                        row.attempt.has_value() ? row.attempt->lease.token() : "", " ",
                        row.run.checkpoint().step());
  };
  const auto compare = [&] {
    ASSERT_OK_AND_ASSIGN(const std::vector<RunRow> rows, store_->OpenRuns());
    std::vector<std::string> stored, folded;
    for (const RunRow& row : rows) stored.push_back(describe(row));
    for (const auto& [id, row] : view) folded.push_back(describe(row));
    EXPECT_EQ(folded, stored);
  };
  SubmitAndRegister({"5k", "40k", "80k"});
  compare();
  const Attempt first = TrainToStep70();
  compare();
  ASSERT_OK(store_->ExpireLease(first.lease));
  compare();
  Start(1);
  compare();
  ASSERT_OK(store_->Cancel("grid", {2}));
  compare();
  EXPECT_EQ(view.size(), 2u);
  store_.reset();
}

TEST_F(AttemptsTest, CheckpointsThatNothingNeedsAreNamedUntilTheyAreGone) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Point(20, "heldout", 4), spool.Checkpoint(20), spool.Checkpoint(30),
                      spool.Checkpoint(40), spool.Point(50, "heldout", 3), spool.Checkpoint(60)}));
  ASSERT_OK_AND_ASSIGN(std::vector<std::string> paths, store_->DeletableCheckpoints("root-a"));
  EXPECT_THAT(paths, ElementsAre("run-1/attempt-1/checkpoint-000000000020.safetensors",
                                 "run-1/attempt-1/checkpoint-000000000030.safetensors"));
  EXPECT_THAT(store_->DeletableCheckpoints("root-b"), testing::IsOkAndHolds(IsEmpty()));
  ASSERT_OK(store_->CheckpointsDeleted("root-a", {paths[0]}));
  EXPECT_THAT(store_->DeletableCheckpoints("root-a"), testing::IsOkAndHolds(ElementsAre(paths[1])));
  Append(spool.Batch({spool.Point(100, "heldout", 2), spool.Exit(v1::SUCCEEDED, 100)}));
  ASSERT_OK_AND_ASSIGN(paths, store_->DeletableCheckpoints("root-a"));
  EXPECT_EQ(paths.size(), 2u) << "the last of a finished run stays";
  EXPECT_EQ(GetRun().checkpoint().step(), 60);
}

TEST_F(AttemptsTest, TheStartOfALiveAttemptIsNotNamedForDeletion) {
  SubmitAndRegister();
  ASSERT_OK(store_->ExpireLease(TrainToStep70().lease));
  const Attempt second = Start();
  ASSERT_EQ(second.spec.start().step(), 60);
  Spool spool(second.lease);
  Append(spool.Batch({spool.Checkpoint(70), spool.Checkpoint(80)}));
  EXPECT_THAT(
      store_->DeletableCheckpoints("root-a"),
      testing::IsOkAndHolds(ElementsAre("run-1/attempt-1/checkpoint-000000000030.safetensors")));
}

}  // namespace
}  // namespace allometry::store
