// The model of a policy in the store: what the policy waits for, what its attempt is told, and that
// the checkpoint stays until it is done.
#include <string>
#include <vector>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kModel = 1, kPolicy = 2;

class ModelInputTest : public StoreFixture {
 protected:
  ModelInputTest() {
    Reopen();
    Submission submission = MakeSubmission({});
    v1::RunSpec policy = MakeSpec(10, {10});
    policy.set_kind("policy");
    v1::RunInput& input = *policy.add_inputs();
    input.set_kind("model");
    input.set_run_key("key-model");
    input.set_step(80);
    v1::Run run = MakeRun("key-policy", "40k imagination", policy);
    run.set_stage("policy");
    submission.new_runs = {MakeRun("key-model", "40k", MakeSpec(80, {20, 80})), run};
    submission.new_cells = {{"key-model", MakeCell("key-model", "40k", 80).cell}};
    EXPECT_OK(store_->Submit(submission));
    EXPECT_OK(store_->RegisterAgent(MakeAgent("a", "host-a", "root-a"), {}));
    EXPECT_OK(store_->RegisterAgent(MakeAgent("b", "host-b", "root-b"), {}));
  }
  InputRun Needed() {
    auto row = store_->GetRun(kPolicy);
    EXPECT_OK(row);
    EXPECT_TRUE(row->inputs.contains(run::InputKind::kModel));
    EXPECT_FALSE(row->inputs.contains(run::InputKind::kTokenizer));
    return row->inputs[run::InputKind::kModel];
  }
  void TrainModel() {
    Spool spool(Start(kModel).lease);
    Append(spool.Batch({spool.Point(20, "heldout", 3), spool.Checkpoint(40),
                        spool.Point(80, "heldout", 2), spool.Checkpoint(80),
                        spool.Exit(v1::SUCCEEDED, 80)}));
  }
};

TEST_F(ModelInputTest, IsWaitedForUntilItsCheckpointIsThere) {
  EXPECT_EQ(Needed().run_id, kModel);
  EXPECT_EQ(Needed().wanted_step, 80);
  EXPECT_TRUE(Needed().is_to_come);
  const std::vector<v1::Slot> slots = {MakeSlot("host-a", "cpu:0")};
  EXPECT_THAT(
      store_->StartAttempt(kPolicy, "a", slots),
      testing::StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("needs run 1's model")));
  TrainModel();
  EXPECT_FALSE(Needed().is_to_come);
  EXPECT_THAT(Needed().root_ids, ElementsAre("root-a"));
  EXPECT_THAT(store_->StartAttempt(kPolicy, "b", slots),
              testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("not under the run root of host-b")));
}

TEST_F(ModelInputTest, AnAttemptIsToldTheFileAndItsHash) {
  TrainModel();
  const Attempt attempt = Start(kPolicy);
  ASSERT_EQ(attempt.spec.inputs_size(), 1);
  EXPECT_EQ(attempt.spec.inputs(0).kind(), "model");
  EXPECT_EQ(attempt.spec.inputs(0).run_id(), kModel);
  EXPECT_EQ(attempt.spec.inputs(0).file(), "attempt-1/checkpoint-000000000080.safetensors");
  EXPECT_THAT(Sql("SELECT hash FROM checkpoints WHERE run_id = 1 AND step = 80"),
              ElementsAre(attempt.spec.inputs(0).hash()));
  EXPECT_FALSE(attempt.spec.has_start());
}

TEST_F(ModelInputTest, PointsOfPoliciesAreNoObservations) {
  TrainModel();
  Spool spool(Start(kPolicy).lease);
  Append(spool.Batch({spool.Point(10, "return", 12), spool.Point(10, "s_ern", 0.9),
                      spool.Exit(v1::SUCCEEDED, 10)}));
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->Observations("grid", "heldout"));
  for (const auto& row : rows) EXPECT_EQ(row.run_id, kModel);
  EXPECT_EQ(GetRun(kPolicy).state(), v1::RUN_SUCCEEDED);
}

TEST_F(ModelInputTest, SuccessWithoutTheReturnsThatWereAskedForIsNone) {
  TrainModel();
  Spool spool(Start(kPolicy).lease);
  Append(spool.Batch({spool.Point(10, "entropy", 1), spool.Exit(v1::SUCCEEDED, 10)}));
  EXPECT_EQ(GetRun(kPolicy).state(), v1::PENDING);
}

}  // namespace
}  // namespace allometry::store
