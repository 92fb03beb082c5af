// Runs of one shape that are trained as a stack by one process: the real trainer.
#include <cmath>

#include "tests/trainer/stack_runs.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::HasSubstr;

class StackTest : public StackRuns<TrainerTest> {
 protected:
  StackTest() {
    spec_.steps = 120;
    spec_.evaluation_steps = {1, 10, 25, 60, 120};
  }
};

TEST_F(StackTest, EachRunAgreesWithItselfAlone) {
  TrainStack({{"a", Spec(0)}, {"b", Spec(1)}, {"c", Spec(2)}});
  const char* const names[] = {"a", "b", "c"};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ReasonOf(names[i]), ExitReason::kSucceeded);
    EXPECT_EQ(Spool(names[i]).All<run::ExecutionConfig>()[0].step_backend,
              "autograd, stacked by 3");
    const Trained stacked = Of(names[i]);
    run_dir_ = folder_.Path(absl::StrCat("alone-", i));
    Curve alone;
    RunToEnd(Spec(i), ExitReason::kSucceeded).MergeInto(&alone, 120);
    ASSERT_EQ(stacked.curve.size(), alone.size());
    for (const auto& [key, value] : alone) {
      // A gradient follows rounding more closely than the loss does near its minimum.
      const double tolerance = key.first == "grad_norm" ? 1e-3 : 1e-4;
      EXPECT_NEAR(*stacked.curve.at(key), *value, tolerance * std::abs(*value))
          << key.first << " " << key.second;
    }
  }
}

TEST_F(StackTest, BitsDependOnTheWidthAndNotOnPlaceAndCompany) {
  TrainStack({{"a", Spec(0)}, {"b", Spec(1)}, {"c", Spec(2)}});
  // Elsewhere in a stack with other runs, one of which ends earlier and one later; by itself.
  run::RunSpec shorter = Spec(5), longer = Spec(6);
  shorter.steps = 30;
  shorter.evaluation_steps = {30};
  longer.steps = 150;
  TrainStack({{"short", shorter}, {"b2", Spec(1)}, {"long", longer}});
  EXPECT_EQ(Of("b2"), Of("b"));
  TrainStack({{"b3", Spec(1)}}, {"--stack", "3"});
  EXPECT_EQ(Of("b3"), Of("b"));
  EXPECT_NE(Of("b").hash, "");
}

TEST_F(StackTest, ARunThatDivergesLeavesTheOthersBits) {
  run::RunSpec wild = Spec(1);
  wild.identity.learning_rate = 1e20;
  wild.identity.warmup_steps = 0;
  TrainStack({{"a", Spec(0)}, {"b", Spec(1)}, {"c", Spec(2)}});
  const auto stack = StartStack({{"a2", Spec(0)}, {"wild", wild}, {"c2", Spec(2)}});
  EXPECT_EQ(stack->Wait(), run::ProcessExitCode(ExitReason::kDiverged)) << stack->Log();
  EXPECT_EQ(ReasonOf("wild"), ExitReason::kDiverged);
  for (const auto& [name, again] : {std::pair("a", "a2"), std::pair("c", "c2")}) {
    EXPECT_EQ(ReasonOf(again), ExitReason::kSucceeded);
    EXPECT_EQ(Of(again), Of(name)) << name;
  }
}

TEST_F(StackTest, ARunThatCannotBeOpenedLeavesTheOthersBits) {
  TrainStack({{"a", Spec(0)}, {"b", Spec(1)}});
  run::RunSpec gone = Spec(1);
  gone.identity.dataset = "gone";
  const auto stack = StartStack({{"gone", gone}, {"a2", Spec(0)}});
  EXPECT_EQ(stack->Wait(), run::ProcessExitCode(ExitReason::kData)) << stack->Log();
  EXPECT_EQ(ReasonOf("gone"), ExitReason::kData);
  EXPECT_EQ(Of("a2"), Of("a"));
}

TEST_F(StackTest, KilledInTheMiddleItContinuesWithTheSameBits) {
  ExpectStackResumesWithItsBits(1200);
}

TEST_F(StackTest, ToldToStopEachRunWritesACheckpointAndContinuesByItselfWithItsBits) {
  spec_.steps = 1200;
  spec_.evaluation_steps = {1, 1200};
  spec_.log_every = 7;
  TrainStack({{"whole", Spec(0)}, {"whole-b", Spec(1)}});
  const auto stopped = StartStack({{"a", Spec(0)}, {"b", Spec(1)}});
  run_dir_ = Dir("a");
  ASSERT_TRUE(WaitUntil(*stopped, 1, [](const SpoolContents& spool) {
    const auto points = spool.All<run::Point>();
    return !points.empty() && points.back().step > 20;
  })) << stopped->Log();
  stopped->Signal(SIGTERM);
  EXPECT_EQ(stopped->Wait(), run::ProcessExitCode(ExitReason::kPreempted)) << stopped->Log();
  EXPECT_EQ(ReasonOf("b"), ExitReason::kPreempted);
  const SpoolContents first = Spool("a");
  const run::CheckpointRecord checkpoint = first.All<run::CheckpointRecord>().back();
  EXPECT_EQ(checkpoint.step, first.All<run::ExitRecord>()[0].step);
  EXPECT_LT(checkpoint.step, 1200);
  Curve curve;
  first.MergeInto(&curve, checkpoint.step);
  run::RunSpec second = Spec(0);
  second.attempt = 2;
  second.start = StartFrom(1, checkpoint);
  TrainStack({{"a", second}}, {"--stack", "2"});
  Spool("a", 2).MergeInto(&curve, 1200);
  EXPECT_EQ(curve, Of("whole").curve);
  EXPECT_EQ(Of("a", 2).hash, Of("whole").hash);
}

TEST_F(StackTest, MicroBatchesAddUpToTheBatch) {
  TrainStack({{"a", Spec(0)}, {"b", Spec(1)}});
  spec_.micro_batch = 5;
  TrainStack({{"a2", Spec(0)}, {"b2", Spec(1)}});
  const Curve expected = Of("b").curve, curve = Of("b2").curve;
  ASSERT_EQ(curve.size(), expected.size());
  for (const auto& [key, value] : expected) {
    if (key.first == "grad_norm") continue;
    EXPECT_NEAR(*curve.at(key), *value, 1e-4 * std::abs(*value)) << key.first << key.second;
  }
}

TEST_F(StackTest, WhatCannotBeStackedIsRefusedBeforeAnythingIsWritten) {
  struct Case {
    const char* message;
    void (*change)(run::RunSpec& spec);
  };
  const Case cases[] = {
      {"run 2 of the stack: batch_tokens 128: allowed is that of run 1: 256",
       [](run::RunSpec& spec) { spec.identity.batch_tokens = 128; }},
      {"run 2 of the stack: shape is another: allowed is that of run 1",
       [](run::RunSpec& spec) { spec.identity.shape.layers = 1; }},
      {"run 2 of the stack: micro_batch 4: allowed is that of run 1: 0",
       [](run::RunSpec& spec) { spec.micro_batch = 4; }},
      {"run 2 of the stack: step_backend fused_cpu: allowed is auto or autograd",
       [](run::RunSpec& spec) { spec.step_backend = "fused_cpu"; }},
      {"run 2 of the stack: precision bf16: allowed is that of run 1: fp32",
       [](run::RunSpec& spec) { spec.identity.precision = run::Precision::kBf16; }},
      {"run 2 of the stack: ranks 2: allowed is 1", [](run::RunSpec& spec) { spec.ranks = 2; }},
  };
  for (const Case& wrong : cases) {
    run::RunSpec spec = Spec(1);
    wrong.change(spec);
    const auto stack = StartStack({{"a", Spec(0)}, {"b", spec}});
    EXPECT_NE(stack->Wait(), 0);
    EXPECT_THAT(stack->Log(), HasSubstr(wrong.message));
    EXPECT_FALSE(std::filesystem::exists(Dir("a") + "/attempt-1"));
  }
  const auto twice = StartStack({{"a", Spec(0)}, {"a", Spec(0)}});
  EXPECT_NE(twice->Wait(), 0);
  EXPECT_THAT(twice->Log(), HasSubstr("is given twice"));
  const auto narrow = StartStack({{"a", Spec(0)}, {"b", Spec(1)}}, {"--stack", "1"});
  EXPECT_NE(narrow->Wait(), 0);
  EXPECT_THAT(narrow->Log(), HasSubstr("2 runs in a stack of 1"));
  // One of them ran before: the other one's folder is as it was.
  TrainStack({{"b", Spec(1)}}, {"--stack", "2"});
  const auto used = StartStack({{"a", Spec(0)}, {"b", Spec(1)}});
  EXPECT_NE(used->Wait(), 0);
  EXPECT_THAT(used->Log(), HasSubstr("an attempt runs once"));
  EXPECT_FALSE(std::filesystem::exists(Dir("a") + "/attempt-1"));
}

}  // namespace
}  // namespace allometry::trainer
