#include "run/observation.h"

#include "gtest/gtest.h"

namespace allometry::run {
namespace {

ObservedRun Constant() {
  ObservedRun run;
  run.warmup_steps = 100;
  run.steps = 1000;
  return run;
}

ObservedRun Falling(Schedule schedule) {
  ObservedRun run = Constant();
  run.schedule = schedule;
  return run;
}

TEST(ObservationTest, UnderAConstantRateEveryStepAfterTheWarmUpIsOne) {
  EXPECT_EQ(ExclusionOf(Constant(), {.step = 100}, 4), Exclusion::kNotItsStep);
  EXPECT_EQ(ExclusionOf(Constant(), {.step = 101}, 4), Exclusion::kNone);
  EXPECT_EQ(ExclusionOf(Constant(), {.step = 1000}, 4), Exclusion::kNone);
  // What an attempt under an older, longer spec has reached counts too.
  EXPECT_EQ(ExclusionOf(Constant(), {.step = 2000}, 4), Exclusion::kNone);
}

TEST(ObservationTest, WhereTheRateFallsTheLastStepAloneIsOne) {
  for (const Schedule schedule : {Schedule::kWsd, Schedule::kCosine}) {
    EXPECT_EQ(ExclusionOf(Falling(schedule), {.step = 999}, 4), Exclusion::kNotItsStep);
    EXPECT_EQ(ExclusionOf(Falling(schedule), {.step = 1000}, 4), Exclusion::kNone);
    EXPECT_EQ(ExclusionOf(Falling(schedule), {.step = 1001}, 4), Exclusion::kNotItsStep);
  }
  ObservedRun run = Falling(Schedule::kCosine);
  run.warmup_steps = 1000;  // it ends within its warm-up
  EXPECT_EQ(ExclusionOf(run, {.step = 1000}, 4), Exclusion::kNotItsStep);
}

TEST(ObservationTest, TrunksTokenizersEvaluationsAndPoliciesHaveNone) {
  ObservedRun run = Constant();
  run.is_trunk = true;
  EXPECT_EQ(ExclusionOf(run, {.step = 500}, 4), Exclusion::kNotItsStep);
  run = Constant();
  run.kind = RunKind::kTokenizer;
  EXPECT_EQ(ExclusionOf(run, {.step = 500}, 4), Exclusion::kNotItsStep);
  // The store knows stages, not kinds: a policy that clones has losses as `train`.
  for (const Stage stage : {Stage::kTokenizer, Stage::kEvaluate, Stage::kPolicy}) {
    run = Constant();
    run.stage = stage;
    EXPECT_EQ(ExclusionOf(run, {.step = 500}, 4), Exclusion::kNotItsStep);
  }
}

TEST(ObservationTest, TheFirstReasonIsTheOneGiven) {
  ObservedRun run = Constant();
  run.stage = Stage::kLadder;
  run.diverged = true;
  const ObservedPoint bad{.step = 500, .epochs = 5, .is_finite = false};
  EXPECT_EQ(ExclusionOf(run, bad, 4), Exclusion::kLadder);
  run.stage = Stage::kGrid;
  run.cancelled = true;
  EXPECT_EQ(ExclusionOf(run, bad, 4), Exclusion::kDiverged);
  run.diverged = false;
  EXPECT_EQ(ExclusionOf(run, bad, 4), Exclusion::kCancelled);
  run.cancelled = false;
  EXPECT_EQ(ExclusionOf(run, bad, 4), Exclusion::kNotFinite);
}

TEST(ObservationTest, RepeatedTokensAreNoneUnlessTheyAreAllowed) {
  EXPECT_EQ(ExclusionOf(Constant(), {.step = 500, .epochs = 4.1}, 4), Exclusion::kRepeated);
  EXPECT_EQ(ExclusionOf(Constant(), {.step = 500, .epochs = 4.1}, 0), Exclusion::kNone);
  // A cell of max_epochs exactly, whose epochs were computed as a quotient times a count.
  const double rounded = 4 * (1 + 1e-15);
  ASSERT_GT(rounded, 4);
  EXPECT_EQ(ExclusionOf(Constant(), {.step = 500, .epochs = rounded}, 4), Exclusion::kNone);
}

}  // namespace
}  // namespace allometry::run
