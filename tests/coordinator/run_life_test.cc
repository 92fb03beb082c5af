// What becomes of a run: its ends, its checkpoints, cancelling, retrying, growing.
#include <string>
#include <vector>

#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RunLifeTest : public CoordinatorTest {
 protected:
  absl::StatusOr<v1::CancelSweepResponse> Cancel(std::vector<int64_t> run_ids = {}) {
    v1::CancelSweepRequest request;
    request.set_name("tiny");
    request.mutable_run_ids()->Add(run_ids.begin(), run_ids.end());
    return Call(&v1::ClientService::Stub::CancelSweep, request);
  }
  absl::StatusOr<v1::RetrySweepResponse> Retry() {
    v1::RetrySweepRequest request;
    request.set_name("tiny");
    return Call(&v1::ClientService::Stub::RetrySweep, request);
  }
};

TEST_F(RunLifeTest, SweepPlayedToItsEndHasEveryCellDone) {
  ASSERT_OK(Submit());
  auto agent = NewAgent("host-a", {"cpu:0", "cpu:1"});
  ASSERT_OK(agent->Register());
  EXPECT_EQ(PlayAll(*agent), 2);
  const v1::GetSweepResponse sweep = Get();
  EXPECT_EQ(sweep.sweep().runs_succeeded(), 2);
  EXPECT_EQ(sweep.sweep().cells(), 8);
  EXPECT_EQ(sweep.sweep().cells_done(), 8);
  for (const v1::Cell& cell : sweep.cells()) {
    EXPECT_TRUE(cell.done());
    EXPECT_GT(cell.loss(), 1.8);
  }
}

TEST_F(RunLifeTest, ResentRecordsAreStoredOnce) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  const std::vector<v1::Record> records = {PointAt(1, 10, "train", 4), PointAt(2, 20, "train", 3)};
  ASSERT_OK(agent->Send(hold.lease(), records));
  const std::string once = Export("points");
  ASSERT_OK_AND_ASSIGN(const v1::RecordAck again, agent->Send(hold.lease(), records));
  EXPECT_EQ(again.durable_sequence(), 2u);
  EXPECT_EQ(Export("points"), once);
}

TEST_F(RunLifeTest, BugIsRetriedABoundedNumberOfTimesThenFailsWithItsMessage) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  int attempts = 0;
  for (v1::Hold hold = agent->Obtain(); hold.has_lease(); hold = agent->Obtain(5)) {
    ASSERT_EQ(hold.lease().attempt(), ++attempts);
    ASSERT_LT(attempts, 20);
    ASSERT_OK(agent->Send(hold.lease(), {PointAt(1, 1, "train", 4),
                                         ExitWith(2, v1::BUG, 1, "tensor of the wrong shape")}));
    agent->MarkEnded(hold.lease(), 2);
  }
  const v1::Run run = GetRun(1);
  EXPECT_EQ(run.state(), v1::RUN_FAILED);
  EXPECT_EQ(run.failure(), v1::BUG);
  EXPECT_EQ(run.failures(), attempts);
  EXPECT_THAT(run.reason(), HasSubstr("tensor of the wrong shape"));

  ASSERT_OK_AND_ASSIGN(const v1::RetrySweepResponse retried, Retry());
  EXPECT_EQ(retried.retried(), 1);
  EXPECT_EQ(agent->Obtain().lease().attempt(), attempts + 1) << "attempt numbers go on";
  EXPECT_EQ(GetRun(1).failures(), 0);
}

TEST_F(RunLifeTest, DivergedRunFailsAtOnce) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  v1::Record not_finite = PointAt(1, 10, "train", 0);
  not_finite.mutable_point()->set_is_null(true);
  ASSERT_OK(agent->Send(hold.lease(), {not_finite, ExitWith(2, v1::DIVERGED, 10, "loss is nan")}));
  EXPECT_EQ(GetRun(1).state(), v1::RUN_FAILED);
  EXPECT_EQ(GetRun(1).failure(), v1::DIVERGED);
}

TEST_F(RunLifeTest, NextAttemptStartsFromTheCheckpointWhereItsRootIsAndElsewhereFromTheBeginning) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold first = agent->Obtain();
  std::vector<v1::Record> records;
  for (const int64_t step : first.spec().evaluation_steps()) {
    if (step <= 10) records.push_back(PointAt(records.size() + 1, step, "heldout", 4));
  }
  records.push_back(CheckpointAt(records.size() + 1, 1, 10, "root-of-host-a"));
  records.push_back(ExitWith(records.size() + 1, v1::PREEMPTED, 10));
  ASSERT_OK(agent->Send(first.lease(), records));
  agent->MarkEnded(first.lease(), records.size());
  const v1::Hold second = agent->Obtain();
  EXPECT_EQ(second.spec().start().step(), 10);
  EXPECT_EQ(second.spec().start().attempt(), 1);
  EXPECT_EQ(GetRun(1).failures(), 0) << "preemption is free";

  clock_.AdvanceMs(kLeaseMs + 1);
  ASSERT_TRUE(Eventually([&] { return GetRun(1).state() == v1::PENDING; }));
  auto other = NewAgent("host-b");
  ASSERT_OK(other->Register());
  const v1::Hold third = other->Obtain();
  EXPECT_EQ(third.lease().attempt(), 3);
  EXPECT_FALSE(third.spec().has_start());
}

TEST_F(RunLifeTest, CancelledRunIsToldToStopAndEndsAsCancelled) {
  ASSERT_OK(Submit({.sizes = "[5k, 20k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_OK_AND_ASSIGN(const v1::CancelSweepResponse cancelled, Cancel());
  EXPECT_EQ(cancelled.cancelled(), 2);
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse reply, agent->Heartbeat());
  ASSERT_THAT(reply.hold(), SizeIs(1));
  EXPECT_TRUE(reply.hold(0).cancel());
  ASSERT_OK(agent->Send(hold.lease(), {ExitWith(1, v1::CANCELLED_BY_USER, 0)}));
  EXPECT_EQ(Get().sweep().runs_cancelled(), 2);

  ASSERT_OK_AND_ASSIGN(const v1::RetrySweepResponse retried, Retry());
  EXPECT_EQ(retried.retried(), 2);
  EXPECT_EQ(Get().sweep().runs_cancelled(), 0);
}

TEST_F(RunLifeTest, CancellingARunOfAnotherSweepIsRefused) {
  ASSERT_OK(Submit());
  EXPECT_THAT(Cancel({4711}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("4711")));
}

TEST_F(RunLifeTest, LargerBudgetContinuesARunThatHadSucceeded) {
  ASSERT_OK(Submit({.sizes = "[5k]", .budgets = "[10240]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold first = agent->Obtain();
  std::vector<v1::Record> records = WholeRun(first.spec(), 5000);
  records.back() = CheckpointAt(records.size(), 1, 20, "root-of-host-a");
  records.push_back(ExitWith(records.size() + 1, v1::SUCCEEDED, 20));
  ASSERT_OK(agent->Send(first.lease(), records));
  agent->MarkEnded(first.lease(), records.size());
  ASSERT_EQ(GetRun(1).state(), v1::RUN_SUCCEEDED);

  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse grown,
                       Submit({.sizes = "[5k]", .budgets = "[10240, 20480]"}));
  EXPECT_TRUE(grown.existed());
  EXPECT_THAT(grown.changes(), ::testing::Not(IsEmpty()));
  const v1::Hold second = agent->Obtain();
  EXPECT_EQ(second.lease().run_id(), first.lease().run_id());
  EXPECT_EQ(second.spec().steps(), 40);
  EXPECT_EQ(second.spec().start().step(), 20);
  EXPECT_EQ(Get().sweep().cells_done(), 1) << "the smaller cell stays done";
}

TEST_F(RunLifeTest, GangWaitsWithAReasonUntilOneWorkerHasItsSlots) {
  ASSERT_OK(Submit({.sizes = "[5k]", .more = "devices: {5k: 2}\n"}));
  auto small = NewAgent("host-a");
  ASSERT_OK(small->Register());
  EXPECT_FALSE(small->Obtain(5).has_lease());
  EXPECT_THAT(GetRun(1).reason(), HasSubstr("2"));
  auto large = NewAgent("host-b", {"cpu:0", "cpu:1"});
  ASSERT_OK(large->Register());
  const v1::Hold hold = large->Obtain();
  EXPECT_THAT(hold.slots(), SizeIs(2));
  EXPECT_EQ(hold.spec().ranks(), 2);
}

TEST_F(RunLifeTest, RunWaitsWithAReasonUntilAnAgentHasItsData) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  FakeAgent without(coordinator_->worker(), "host-a", {"cpu:0"}, {});
  ASSERT_OK(without.Register());
  EXPECT_FALSE(without.Obtain(5).has_lease());
  EXPECT_THAT(GetRun(1).reason(), HasSubstr("tiny-text"));
}

TEST_F(RunLifeTest, OneStreamCarriesManyAttemptsAndAStaleOneDoesNotBreakIt) {
  ASSERT_OK(Submit({.sizes = "[5k, 20k]"}));
  auto agent = NewAgent("host-a", {"cpu:0", "cpu:1"});
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(agent->Obtain().has_lease());
  ASSERT_OK(agent->Reconcile());
  ASSERT_THAT(agent->held(), SizeIs(2));
  v1::Lease forged = agent->held()[0].lease();
  forged.set_token(std::string(32, 'f'));

  grpc::ClientContext context;
  context.AddMetadata("allo-session", agent->session());
  auto stream = agent->stub().StreamRecords(&context);
  constexpr int kBatches = 50;
  for (int i = 0; i < kBatches; ++i) {
    for (const v1::Lease& lease : {agent->held()[0].lease(), agent->held()[1].lease(), forged}) {
      v1::RecordBatch batch;
      *batch.mutable_lease() = lease;
      *batch.add_records() = PointAt(i + 1, 10 * (i + 1), "train", 4);
      ASSERT_TRUE(stream->Write(batch));
    }
  }
  ASSERT_TRUE(stream->WritesDone());
  std::map<std::string, uint64_t> durable;
  int stale = 0;
  v1::RecordAck ack;
  while (stream->Read(&ack)) {
    if (ack.stale()) {
      EXPECT_EQ(ack.lease().token(), forged.token());
      ++stale;
    } else {
      uint64_t& before = durable[ack.lease().token()];
      EXPECT_GE(ack.durable_sequence(), before);
      before = ack.durable_sequence();
    }
  }
  EXPECT_OK(ToAbsl(stream->Finish()));
  EXPECT_GE(stale, 1);
  EXPECT_EQ(durable[agent->held()[0].lease().token()], uint64_t{kBatches});
  EXPECT_EQ(durable[agent->held()[1].lease().token()], uint64_t{kBatches});
}

TEST_F(RunLifeTest, RecordThatCanNeverBeStoredIsSetAsideWithItsReason) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  v1::Record empty;
  empty.set_sequence(1);
  ASSERT_OK_AND_ASSIGN(const v1::RecordAck ack,
                       agent->Send(hold.lease(), {empty, PointAt(2, 10, "train", 4)}));
  EXPECT_EQ(ack.durable_sequence(), 2u);
  ASSERT_THAT(ack.set_aside(), SizeIs(1));
  EXPECT_EQ(ack.set_aside(0).sequence(), 1u);
  EXPECT_THAT(ack.set_aside(0).reason(), ::testing::Not(IsEmpty()));
}

TEST_F(RunLifeTest, OldCheckpointsAreNamedDeletableToTheAgentOfTheirRoot) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_OK(agent->Send(hold.lease(), {CheckpointAt(1, 1, 10, "root-of-host-a"),
                                       CheckpointAt(2, 1, 20, "root-of-host-a"),
                                       CheckpointAt(3, 1, 30, "root-of-host-a")}));
  clock_.AdvanceMs(1000);
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse reply, agent->Heartbeat());
  ASSERT_THAT(reply.deletable_checkpoints(), SizeIs(1));
  EXPECT_EQ(reply.deletable_checkpoints(0), "run-1/attempt-1/checkpoint-000000000010.safetensors");
  // Named until the agent says that it is gone: a reply may be lost, and so may its word.
  const auto named_again = [&] {
    clock_.AdvanceMs(1000);
    const auto later = agent->Heartbeat();
    EXPECT_THAT(later, IsOk());
    return later->deletable_checkpoints_size();
  };
  for (int i = 0; i < 8; ++i) EXPECT_EQ(named_again(), 1);
  agent->deleted = {reply.deletable_checkpoints(0), "run-1/attempt-1/checkpoint-7.safetensors"};
  EXPECT_EQ(named_again(), 0);
  EXPECT_EQ(named_again(), 0) << "the same word twice";
  agent->deleted.clear();
  EXPECT_EQ(named_again(), 0);
}

}  // namespace
}  // namespace allometry::testing
