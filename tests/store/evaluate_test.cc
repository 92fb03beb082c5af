// Runs that evaluate another run's checkpoints in the store: what they wait for, what an attempt is
// given, what a lost one costs, and which checkpoints stay.
#include <string>
#include <vector>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kTrained = 1, kEvaluates = 2;

class EvaluateTest : public StoreFixture {
 protected:
  EvaluateTest() {
    Reopen();
    Submission submission = MakeSubmission({});
    v1::RunSpec trained = MakeSpec(100, {20, 50, 100});
    for (const int64_t step : {20, 50, 100}) trained.add_checkpoint_steps(step);
    trained.set_keep_checkpoints(true);
    v1::RunSpec evaluates = MakeSpec(100, {20, 50, 100});
    evaluates.set_kind("evaluate");
    v1::RunInput& input = *evaluates.add_inputs();
    input.set_kind("checkpoint");
    input.set_run_key("key-40k");
    v1::Run run = MakeRun("key-evaluation", "40k", evaluates);
    run.set_stage("evaluate");
    submission.new_runs = {MakeRun("key-40k", "40k", trained), run};
    submission.new_cells = {MakeCell("key-40k", "40k", 100)};
    EXPECT_OK(store_->Submit(submission));
    EXPECT_OK(store_->RegisterAgent(MakeAgent("a", "host-a", "root-a"), {}));
    EXPECT_OK(store_->RegisterAgent(MakeAgent("b", "host-b", "root-b"), {}));
  }
  InputRun Needed() {
    auto row = store_->GetRun(kEvaluates);
    EXPECT_OK(row);
    EXPECT_TRUE(row->inputs.contains(run::InputKind::kCheckpoint));
    EXPECT_FALSE(row->inputs.contains(run::InputKind::kTrunk));
    return row->inputs[run::InputKind::kCheckpoint];
  }
  void Train() {
    Spool spool(Start(kTrained).lease);
    Append(spool.Batch({spool.Point(20, "heldout", 3), spool.Checkpoint(20), spool.Checkpoint(40),
                        spool.Point(50, "heldout", 2), spool.Checkpoint(50), spool.Checkpoint(80),
                        spool.Point(100, "heldout", 1), spool.Checkpoint(100),
                        spool.Exit(v1::SUCCEEDED, 100)}));
  }
  static std::vector<int64_t> Steps(const Attempt& attempt) {
    const auto& steps = attempt.spec.evaluation_steps();
    return {steps.begin(), steps.end()};
  }
};

TEST_F(EvaluateTest, WaitsUntilTheRunHasEndedAndIsGivenEachCheckpoint) {
  EXPECT_TRUE(Needed().is_to_come);
  EXPECT_EQ(Needed().wanted_step, 100);
  EXPECT_THAT(Needed().root_ids, IsEmpty());
  const std::vector<v1::Slot> slots = {MakeSlot("host-a", "cpu:0")};
  EXPECT_THAT(store_->StartAttempt(kEvaluates, "a", slots),
              testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("run 2 evaluates run 1, which is PENDING")));
  Train();
  EXPECT_FALSE(Needed().is_to_come);
  EXPECT_THAT(Needed().root_ids, ElementsAre("root-a"));
  EXPECT_THAT(store_->StartAttempt(kEvaluates, "b", slots),
              testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("checkpoint at step 20, which is not under the run root "
                                          "of host-b")));
  const Attempt attempt = Start(kEvaluates);
  EXPECT_THAT(Steps(attempt), ElementsAre(20, 50, 100));
  ASSERT_EQ(attempt.spec.inputs_size(), 3);
  EXPECT_EQ(attempt.spec.inputs(1).kind(), "checkpoint");
  EXPECT_EQ(attempt.spec.inputs(1).run_id(), kTrained);
  EXPECT_EQ(attempt.spec.inputs(1).run_key(), "key-40k");
  EXPECT_EQ(attempt.spec.inputs(1).step(), 50);
  EXPECT_EQ(attempt.spec.inputs(1).file(), "attempt-1/checkpoint-000000000050.safetensors");
  EXPECT_EQ(attempt.spec.inputs(1).hash(), "0123456789abcdef");
  EXPECT_FALSE(attempt.spec.has_start());
}

TEST_F(EvaluateTest, ALostAttemptStartsAgainFromItsFirstMissingStep) {
  Train();
  {
    const Attempt attempt = Start(kEvaluates);
    Spool spool(attempt.lease);
    // The second step was under way.
    Append(spool.Batch({spool.Point(20, "token_accuracy_h1", 0.5), spool.Point(20, "heldout", 3),
                        spool.Point(50, "token_accuracy_h1", 0.6)}));
    EXPECT_OK(store_->ExpireLease(attempt.lease));
  }
  const Attempt second = Start(kEvaluates);
  EXPECT_THAT(Steps(second), ElementsAre(50, 100));
  EXPECT_EQ(second.spec.inputs_size(), 2);
  EXPECT_THAT(Sql("SELECT step FROM points JOIN series USING (series_id) "
                  "WHERE run_id = 2 AND name = 'token_accuracy_h1'"),
              ElementsAre("20"));
  Spool spool(second.lease);
  Append(spool.Batch({spool.Point(50, "token_accuracy_h1", 0.6), spool.Point(50, "heldout", 2),
                      spool.Point(100, "token_accuracy_h1", 0.7), spool.Point(100, "heldout", 1)}));
  // It dies before it could say that it has ended: the last step is measured once more.
  EXPECT_OK(store_->ExpireLease(second.lease));
  EXPECT_THAT(Needed().root_ids, ElementsAre("root-a"));
  const Attempt third = Start(kEvaluates);
  EXPECT_THAT(Steps(third), ElementsAre(100));
  Spool last(third.lease);
  Append(last.Batch({last.Point(100, "token_accuracy_h1", 0.7), last.Point(100, "heldout", 1),
                     last.Exit(v1::SUCCEEDED, 100)}));
  EXPECT_EQ(GetRun(kEvaluates).state(), v1::RUN_SUCCEEDED);
}

TEST_F(EvaluateTest, SuccessWithoutAStepIsABug) {
  Train();
  Spool spool(Start(kEvaluates).lease);
  Append(spool.Batch({spool.Point(20, "heldout", 3), spool.Point(100, "heldout", 1),
                      spool.Exit(v1::SUCCEEDED, 100)}));
  EXPECT_EQ(GetRun(kEvaluates).state(), v1::PENDING);
  EXPECT_THAT(GetRun(kEvaluates).reason(), HasSubstr("the evaluation at step 50 is not stored"));
}

TEST_F(EvaluateTest, KeptCheckpointsStayWhateverIsEvaluated) {
  Train();
  const auto others = ElementsAre("run-1/attempt-1/checkpoint-000000000040.safetensors",
                                  "run-1/attempt-1/checkpoint-000000000080.safetensors");
  EXPECT_THAT(*store_->DeletableCheckpoints("root-a"), others);
  Spool spool(Start(kEvaluates).lease);
  Append(spool.Batch({spool.Point(20, "heldout", 3), spool.Point(50, "heldout", 2),
                      spool.Point(100, "heldout", 1), spool.Exit(v1::SUCCEEDED, 100)}));
  EXPECT_EQ(GetRun(kEvaluates).state(), v1::RUN_SUCCEEDED);
  EXPECT_THAT(*store_->DeletableCheckpoints("root-a"), others);
}

TEST_F(EvaluateTest, LossesOfEvaluationsAreNoObservations) {
  Train();
  Spool spool(Start(kEvaluates).lease);
  Append(spool.Batch({spool.Point(20, "heldout", 3), spool.Point(50, "heldout", 2),
                      spool.Point(100, "heldout", 1), spool.Exit(v1::SUCCEEDED, 100)}));
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->Observations("grid", "heldout"));
  for (const ObservationRow& row : rows) EXPECT_EQ(row.run_id, kTrained);
}

}  // namespace
}  // namespace allometry::store
