// Decay branches: a run whose rate falls, from a checkpoint of its trunk.
#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BranchTest : public TrainerTest {
 protected:
  BranchTest() {
    trunk_ = spec_;
    trunk_.steps = 60;
    trunk_.log_every = 7;  // intervals that the branching points cut
    trunk_.evaluation_steps = {25, 60};
    trunk_.checkpoint_steps = {30, 60};
    branch_ = trunk_;
    branch_.identity.schedule = run::Schedule::kWsd;
    branch_.identity.decay_begin = 30;
    branch_.identity.decay_end = branch_.steps = 38;
    branch_.evaluation_steps = {35, 38};
    branch_.checkpoint_steps = {};
  }

  std::vector<run::CheckpointRecord> TrainTrunk() {
    run_dir_ = folder_.Path("run-1");
    return RunToEnd(trunk_, ExitReason::kSucceeded).All<run::CheckpointRecord>();
  }
  static run::StartCheckpoint OfTrunk(const run::CheckpointRecord& record) {
    run::StartCheckpoint start = StartFrom(1, record);
    start.run_id = 1;
    return start;
  }
  // What is after `first_step` of a curve.
  static Curve After(const Curve& curve, int64_t first_step) {
    Curve after;
    for (const auto& [key, value] : curve) {
      if (key.second > first_step) after[key] = value;
    }
    return after;
  }

  run::RunSpec trunk_, branch_;
};

TEST_F(BranchTest, CheckpointsAreWrittenAfterTheStepsAskedForAndAtTheEnd) {
  std::vector<int64_t> steps;
  for (const auto& record : TrainTrunk()) steps.push_back(record.step);
  EXPECT_THAT(steps, ElementsAre(30, 60));
}

TEST_F(BranchTest, BranchFromTheTrunksCheckpointHasTheBitsOfItsRecipeFromStepZero) {
  const auto trunk = TrainTrunk();
  for (const char* schedule : {"wsd", "cosine"}) {  // whatever falls may branch
    run::RunSpec spec = branch_;
    spec.identity.schedule = *run::Parse<run::Schedule>(schedule);
    spec.identity.final_rate_fraction = 0.1;
    run_dir_ = folder_.Path(absl::StrCat(schedule, "-whole"));
    const SpoolContents whole = RunToEnd(spec, ExitReason::kSucceeded);
    Curve of_whole;
    whole.MergeInto(&of_whole, spec.steps);

    run_dir_ = folder_.Path(absl::StrCat(schedule, "-branch"));
    spec.start = OfTrunk(trunk[0]);
    const SpoolContents branch = RunToEnd(spec, ExitReason::kSucceeded);
    Curve of_branch;
    branch.MergeInto(&of_branch, spec.steps);
    EXPECT_EQ(of_branch, After(of_whole, 30));
    EXPECT_EQ(of_branch.count({"train", 35}), 1u);  // the mean over 29 .. 35: two from the trunk
    EXPECT_EQ(*of_branch.at({"learning_rate", 35}), std::string(schedule) == "wsd"
                                                        ? 1e-2 * ((8 - 5) + 0.1 * 5) / 8
                                                        : *of_whole.at({"learning_rate", 35}));
    EXPECT_EQ(branch.All<run::CheckpointRecord>().back().hash,
              whole.All<run::CheckpointRecord>().back().hash);
  }
}

TEST_F(BranchTest, OnlyItsOwnTrunkNoLaterThanTheBranchingPointIsAStart) {
  const auto trunk = TrainTrunk();
  run_dir_ = folder_.Path("run-2");
  int attempt = 0;
  const auto failure = [&](run::RunSpec spec, const std::string& said) {
    spec.attempt = ++attempt;
    const auto exit = RunToEnd(spec, ExitReason::kCheckpoint).All<run::ExitRecord>()[0];
    EXPECT_THAT(exit.message, HasSubstr(said));
    EXPECT_THAT(exit.message, HasSubstr("../run-1/attempt-"));
  };
  run::RunSpec late = branch_;
  late.steps = late.identity.decay_end = 80;
  late.evaluation_steps = {};
  late.start = OfTrunk(trunk[1]);
  failure(late, "it is of step 60 of the trunk; this run's rate falls from step 30 on");
  run::RunSpec other = branch_;
  other.identity.seed = 8;
  other.start = OfTrunk(trunk[0]);
  failure(other, "it is of another run");
  // The other way round: a trunk never continues a branch.
  run::RunSpec constant = trunk_;
  run_dir_ = folder_.Path("run-1");
  branch_.attempt = 7;
  const auto of_branch =
      RunToEnd(branch_, ExitReason::kSucceeded).All<run::CheckpointRecord>().back();
  constant.start = StartFrom(7, of_branch);
  constant.start->run_id = 1;
  run_dir_ = folder_.Path("run-3");
  attempt = 0;
  failure(constant, "it is of another run");
}

}  // namespace
}  // namespace allometry::trainer
