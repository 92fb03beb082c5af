// Branches in the store: where they start, what they wait for, which checkpoints stay for them.
#include <string>
#include <vector>

#include "proto/run_choices.h"
#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kTrunk = 1, kShort = 2, kLong = 3;

v1::Run Branch(const std::string& key, int64_t decay_begin, int64_t decay_end) {
  v1::RunSpec spec = MakeSpec(decay_end, {decay_end});
  spec.mutable_identity()->set_schedule("wsd");
  spec.mutable_identity()->set_decay_begin(decay_begin);
  spec.mutable_identity()->set_decay_end(decay_end);
  v1::RunInput& input = *spec.add_inputs();
  input.set_kind("trunk");
  input.set_run_key("key-trunk");
  input.set_step(decay_begin);
  return MakeRun(key, "40k", spec);
}

// A trunk of 80 steps with checkpoints at 40 and 80, and the branches 40 -> 50 and 80 -> 100.
class BranchesTest : public StoreFixture {
 protected:
  BranchesTest() {
    options_.committed = [this](absl::Span<const RunRow> rows) {
      for (const RunRow& row : rows) told_.push_back(row.run.run_id());
    };
    Reopen();
    Submission submission = MakeSubmission({});
    v1::RunSpec trunk = MakeSpec(80, {20, 79});
    trunk.add_checkpoint_steps(40);
    trunk.add_checkpoint_steps(80);
    submission.new_runs = {MakeRun("key-trunk", "40k", trunk), Branch("key-short", 40, 50),
                           Branch("key-long", 80, 100)};
    submission.new_cells = {MakeCell("key-short", "40k", 50), MakeCell("key-long", "40k", 100)};
    EXPECT_OK(store_->Submit(submission));
    EXPECT_OK(store_->RegisterAgent(MakeAgent("a", "host-a", "root-a"), {}));
    EXPECT_OK(store_->RegisterAgent(MakeAgent("b", "host-b", "root-b"), {}));
  }

  InputRun TrunkOf(int64_t run_id) {
    auto row = store_->GetRun(run_id);
    EXPECT_OK(row);
    EXPECT_TRUE(row->inputs.contains(run::InputKind::kTrunk));
    return row->inputs[run::InputKind::kTrunk];
  }

  // The records of a trunk's attempt up to `last` of its whole life.
  void Train(const Attempt& attempt, int64_t last) {
    Spool spool(attempt.lease);
    std::vector<v1::Record> records;
    const int64_t first = attempt.spec.start().step();
    const auto add = [&](int64_t step, auto make) {
      if (first < step && step <= last) records.push_back(make(step));
    };
    const auto evaluation = [&](int64_t step) { return spool.Point(step, "heldout", 3); };
    const auto checkpoint = [&](int64_t step) { return spool.Checkpoint(step); };
    add(20, evaluation);
    add(30, checkpoint);
    add(40, checkpoint);
    add(60, checkpoint);
    add(79, evaluation);
    add(80, checkpoint);
    if (last == 80) records.push_back(spool.Exit(v1::SUCCEEDED, 80));
    Append(spool.Batch(records));
  }

  // A branch's whole attempt from where it starts.
  void Finish(const Attempt& attempt) {
    Spool spool(attempt.lease);
    const int64_t last = attempt.spec.steps();
    Append(spool.Batch({spool.Point(last, "heldout", 2.5), spool.Checkpoint(last),
                        spool.Exit(v1::SUCCEEDED, last)}));
  }

  std::vector<std::string> Deletable(const std::string& root = "root-a") {
    auto paths = store_->DeletableCheckpoints(root);
    EXPECT_OK(paths);
    std::vector<std::string> steps;  // "run 1 step 30" instead of the path
    for (const std::string& path : *paths) {
      const size_t dash = path.find("checkpoint-");
      steps.push_back(
          absl::StrCat(path.substr(0, path.find('/')), " ", std::stol(path.substr(dash + 11, 12))));
    }
    return steps;
  }

  std::vector<int64_t> told_;
};

TEST_F(BranchesTest, TheTrunksCheckpointIsToComeUntilItIsThere) {
  EXPECT_TRUE(TrunkOf(kShort).is_to_come);
  EXPECT_EQ(TrunkOf(kShort).run_id, kTrunk);
  EXPECT_EQ(TrunkOf(kShort).wanted_step, 40);
  EXPECT_THAT(TrunkOf(kShort).root_ids, IsEmpty());
  const Attempt attempt = Start(kTrunk);
  EXPECT_TRUE(TrunkOf(kShort).is_to_come);
  told_.clear();
  Train(attempt, 60);
  EXPECT_THAT(told_, ElementsAre(kTrunk, kShort, kLong));  // who waits is told
  EXPECT_THAT(TrunkOf(kShort).root_ids, ElementsAre("root-a"));
  EXPECT_FALSE(TrunkOf(kShort).is_to_come);
  EXPECT_THAT(TrunkOf(kLong).root_ids, IsEmpty());
  EXPECT_TRUE(TrunkOf(kLong).is_to_come);
}

TEST_F(BranchesTest, ABranchStartsFromItsTrunksCheckpointUnderTheSameRoot) {
  Train(Start(kTrunk), 60);
  const Attempt attempt = Start(kShort);
  EXPECT_EQ(attempt.spec.start().step(), 40);
  EXPECT_EQ(attempt.spec.start().run_id(), kTrunk);
  EXPECT_EQ(attempt.spec.start().file(), "attempt-1/checkpoint-000000000040.safetensors");
  EXPECT_THAT(attempt.spec.inputs(), IsEmpty());
  EXPECT_EQ(attempt.start_note, "");
  EXPECT_EQ(GetRun(kShort).step(), 40);
  Finish(attempt);
  EXPECT_EQ(GetRun(kShort).state(), v1::RUN_SUCCEEDED);
}

TEST_F(BranchesTest, UnderAnotherRootItStartsFromStepZeroAndSaysWhy) {
  Train(Start(kTrunk), 60);
  const Attempt attempt = Start(kShort, "b");
  EXPECT_FALSE(attempt.spec.has_start());
  EXPECT_EQ(attempt.start_note,
            "starts from step 0: run 1's checkpoint at step 40 is under run root root-a, which is "
            "not that of host-b");
  Finish(attempt);
  EXPECT_EQ(GetRun(kShort).state(), v1::RUN_SUCCEEDED);
}

TEST_F(BranchesTest, WhereTheTrunkFailedItStartsFromTheNewestCheckpointAndSaysWhy) {
  const Attempt trunk = Start(kTrunk);
  Train(trunk, 60);
  Spool spool(trunk.lease);
  for (int i = 0; i < 4; ++i) spool.Point(1, "train", 1);  // the numbers of what came before
  Append(spool.Batch({spool.Exit(v1::DIVERGED, 70)}));
  ASSERT_EQ(GetRun(kTrunk).state(), v1::RUN_FAILED);
  EXPECT_FALSE(TrunkOf(kLong).is_to_come);
  const Attempt attempt = Start(kLong);
  EXPECT_EQ(attempt.spec.start().step(), 60);
  EXPECT_EQ(attempt.start_note,
            "starts from step 60: its trunk, run 1, is FAILED and has no good checkpoint at step "
            "80");
}

TEST_F(BranchesTest, ItsOwnNewerCheckpointGoesBeforeTheTrunks) {
  Train(Start(kTrunk), 80);
  const Attempt first = Start(kLong);
  EXPECT_EQ(first.spec.start().step(), 80);
  Spool spool(first.lease);
  Append(spool.Batch({spool.Checkpoint(90), spool.Exit(v1::PREEMPTED, 90)}));
  const Attempt second = Start(kLong);
  EXPECT_EQ(second.spec.start().step(), 90);
  EXPECT_EQ(second.spec.start().run_id(), 0);
}

TEST_F(BranchesTest, ADamagedCheckpointOfTheTrunkIsNoStartAgain) {
  Train(Start(kTrunk), 80);
  const Attempt first = Start(kLong);
  Spool spool(first.lease);
  told_.clear();
  Append(spool.Batch({spool.Exit(v1::CHECKPOINT, 0, "its hash is another")}));
  EXPECT_THAT(told_, ElementsAre(kTrunk, kShort, kLong));
  EXPECT_THAT(Sql("SELECT step FROM checkpoints WHERE state = 'BAD'"), ElementsAre("80"));
  EXPECT_EQ(GetRun(kTrunk).state(), v1::RUN_SUCCEEDED);  // not trained again for it
  EXPECT_FALSE(TrunkOf(kLong).is_to_come);
  const Attempt second = Start(kLong);
  EXPECT_EQ(second.spec.start().step(), 60);
  EXPECT_THAT(second.start_note, HasSubstr("has no good checkpoint at step 80"));
}

TEST_F(BranchesTest, WhatABranchStillNeedsStaysAndGoesWhenItIsDone) {
  Train(Start(kTrunk), 80);
  EXPECT_THAT(Deletable(), ElementsAre("run-1 30", "run-1 60"));
  Attempt attempt = Start(kShort);
  EXPECT_THAT(Deletable(), ElementsAre("run-1 30", "run-1 60"));
  Finish(attempt);
  EXPECT_THAT(Deletable(), ElementsAre("run-1 30", "run-1 40", "run-1 60"));
  Finish(Start(kLong));
  EXPECT_THAT(Deletable(), ElementsAre("run-1 30", "run-1 40", "run-1 60"));  // a last one stays
}

TEST_F(BranchesTest, ATrunkIsDoneWhenItsCheckpointsAreThere) {
  const Attempt attempt = Start(kTrunk);
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Point(20, "heldout", 3), spool.Point(79, "heldout", 3),
                      spool.Checkpoint(80), spool.Exit(v1::SUCCEEDED, 80)}));
  EXPECT_EQ(GetRun(kTrunk).state(), v1::PENDING);
  EXPECT_THAT(GetRun(kTrunk).reason(),
              HasSubstr("SUCCEEDED at step 80 of 80, but the checkpoint at step 40 is not stored"));
  // Its next attempt begins before what is missing.
  EXPECT_EQ(Start(kTrunk).spec.start().step(), 0);
}

TEST_F(BranchesTest, ATrunkThatBeginsAgainElsewhereWritesItsCheckpointsThereToo) {
  Train(Start(kTrunk), 60);
  auto lease = store_->Attempts(kTrunk)->back().lease;
  ASSERT_OK(store_->ExpireLease(lease));
  const Attempt again = Start(kTrunk, "b");
  EXPECT_EQ(again.spec.start().step(), 0);
  EXPECT_THAT(TrunkOf(kShort).root_ids, ElementsAre("root-a"));
  EXPECT_TRUE(TrunkOf(kShort).is_to_come);
  Train(again, 60);
  EXPECT_THAT(TrunkOf(kShort).root_ids, ElementsAre("root-a", "root-b"));
  EXPECT_FALSE(TrunkOf(kShort).is_to_come);
}

TEST_F(BranchesTest, FitsReadTheEndsOfBranchesAndNothingOfTheirTrunk) {
  Train(Start(kTrunk), 80);
  const Attempt attempt = Start(kShort);
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Point(45, "heldout", 2.7), spool.Point(50, "heldout", 2.5),
                      spool.Checkpoint(50), spool.Exit(v1::SUCCEEDED, 50)}));
  Finish(Start(kLong));
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->Observations("grid", "heldout"));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].run_id, kShort);
  EXPECT_EQ(rows[0].step, 50);
  EXPECT_EQ(rows[1].step, 100);
  for (const ObservationRow& row : rows) {
    EXPECT_TRUE(row.ends_cell);
    EXPECT_EQ(row.run.schedule, run::Schedule::kWsd);
    EXPECT_EQ(row.trunk_run_id, kTrunk);
  }
}

TEST_F(BranchesTest, AnInputThatTheSweepHasNotIsRefused) {
  Submission submission = MakeSubmission({});
  submission.sweep.set_name("other");
  submission.new_runs = {Branch("key-short", 40, 50)};
  EXPECT_THAT(store_->Submit(submission),
              testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                HasSubstr("needs the trunk of run key-trunk, which the sweep has "
                                          "not")));
}

TEST_F(BranchesTest, CheckpointStepsAreThoseThatAreGood) {
  Train(Start(kTrunk), 80);
  Deletable();
  ASSERT_OK_AND_ASSIGN(const auto steps, store_->CheckpointSteps("grid"));
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_THAT(steps.at(kTrunk), ElementsAre(40, 80));
}

}  // namespace
}  // namespace allometry::store
