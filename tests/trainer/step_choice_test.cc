// What "auto" trains with, and what an attempt records of its instruction set.
#include <cstdlib>

#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::HasSubstr;

class StepChoiceTest : public TrainerTest {
 protected:
  StepChoiceTest() { unsetenv("ALLO_ISA"); }
  ~StepChoiceTest() override { unsetenv("ALLO_ISA"); }

  // With a step that nobody would choose here: the hand-written one is several times as fast.
  run::RunSpec WithAutograd() const {
    run::RunSpec spec = spec_;
    spec.step_backend = "autograd";
    return spec;
  }
  run::RunSpec Continued(const run::CheckpointRecord& from) const {
    run::RunSpec spec = spec_;
    spec.attempt = 2;
    spec.steps = 50;
    spec.evaluation_steps = {50};
    spec.start = StartFrom(1, from);
    return spec;
  }
  static run::ExecutionConfig ExecutionConfigOf(const SpoolContents& spool) {
    const auto numerics = spool.All<run::ExecutionConfig>();
    ALLO_CHECK(numerics.size() == 1);
    return numerics[0];
  }
};

TEST_F(StepChoiceTest, AFirstStartTimesTheStepsAndSaysSo) {
  const auto process = Start(spec_);
  EXPECT_EQ(process->Wait(), 0);
  EXPECT_EQ(ExecutionConfigOf(ReadSpool(1)).step_backend, "fused_cpu");
  EXPECT_THAT(process->Log(), HasSubstr("training step fused_cpu: fused_cpu "));
  EXPECT_THAT(process->Log(), HasSubstr(" ms, autograd "));
}

TEST_F(StepChoiceTest, AResumedAttemptKeepsTheStepOfItsCheckpoint) {
  const SpoolContents first = RunToEnd(WithAutograd(), ExitReason::kSucceeded);
  const run::RunSpec next = Continued(first.All<run::CheckpointRecord>().back());
  EXPECT_EQ(ExecutionConfigOf(RunToEnd(next, ExitReason::kSucceeded)).step_backend, "autograd");
}

TEST_F(StepChoiceTest, AnAttemptAfterOneThatWasKilledBeforeAnyCheckpointKeepsItsStep) {
  run::RunSpec spec = WithAutograd();
  spec.steps = 100'000'000;
  spec.evaluation_steps = {};
  const auto process = Start(spec);
  ASSERT_TRUE(WaitUntil(*process, 1, [](const SpoolContents& spool) {
    return !spool.All<run::ExecutionConfig>().empty();
  }));
  process->Kill();
  process->Wait();
  ASSERT_TRUE(ReadSpool(1).All<run::CheckpointRecord>().empty());
  spec_.attempt = 3;  // the second one died before it recorded anything
  EXPECT_EQ(ExecutionConfigOf(RunToEnd(spec_, ExitReason::kSucceeded)).step_backend, "autograd");
}

TEST_F(StepChoiceTest, ABranchKeepsTheStepOfItsTrunk) {
  run_dir_ = folder_.Path("run-1");
  const SpoolContents trunk = RunToEnd(WithAutograd(), ExitReason::kSucceeded);
  run_dir_ = folder_.Path("run-2");
  run::RunSpec branch = Continued(trunk.All<run::CheckpointRecord>().back());
  branch.attempt = 1;
  branch.start->run_id = 1;
  branch.identity.schedule = run::Schedule::kWsd;
  branch.identity.decay_begin = 40;
  branch.identity.decay_end = 50;
  EXPECT_EQ(ExecutionConfigOf(RunToEnd(branch, ExitReason::kSucceeded)).step_backend, "autograd");
}

TEST_F(StepChoiceTest, UnderAnotherInstructionSetItIsChosenAnewAndTheNumericsSayBoth) {
  setenv("ALLO_ISA", "baseline", 1);
  const SpoolContents first = RunToEnd(WithAutograd(), ExitReason::kSucceeded);
  EXPECT_THAT(ExecutionConfigOf(first).device_model, HasSubstr(" (baseline)"));
  unsetenv("ALLO_ISA");
  const run::RunSpec next = Continued(first.All<run::CheckpointRecord>().back());
  const run::ExecutionConfig second = ExecutionConfigOf(RunToEnd(next, ExitReason::kSucceeded));
  if (second.device_model == ExecutionConfigOf(first).device_model) {
    GTEST_SKIP() << "this CPU has the baseline instruction set only";
  }
  EXPECT_EQ(second.step_backend, "fused_cpu");
}

TEST_F(StepChoiceTest, AnInstructionSetThatIsNotKnownIsRefusedBeforeTraining) {
  setenv("ALLO_ISA", "sse", 1);
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kDevice);
  EXPECT_THAT(spool.All<run::ExitRecord>()[0].message,
              HasSubstr("ALLO_ISA is 'sse': allowed are avx512, avx2, baseline"));
  EXPECT_TRUE(spool.All<run::ExecutionConfig>().empty());
}

}  // namespace
}  // namespace allometry::trainer
