#include "worker/trainer/learning_rate.h"

#include "gtest/gtest.h"

namespace allometry::trainer {
namespace {

run::Identity WithSchedule(const std::string& schedule) {
  run::Identity identity;
  identity.schedule = *run::Parse<run::Schedule>(schedule);
  identity.learning_rate = 0.5;
  identity.warmup_steps = 4;
  if (schedule == "constant") return identity;
  identity.decay_begin = schedule == "wsd" ? 12 : 4;
  identity.decay_end = 20;
  return identity;
}

TEST(LearningRateTest, WarmsUpLinearlyFromTheFirstUpdateAndStays) {
  run::Identity identity = WithSchedule("constant");
  EXPECT_EQ(LearningRateAt(identity, 1), 0.125);
  EXPECT_EQ(LearningRateAt(identity, 3), 0.375);
  EXPECT_EQ(LearningRateAt(identity, 4), 0.5);
  EXPECT_EQ(LearningRateAt(identity, 1'000'000'000'000), 0.5);
  identity.warmup_steps = 0;
  EXPECT_EQ(LearningRateAt(identity, 1), 0.5);
}

TEST(LearningRateTest, WsdFallsOnAStraightLineAndEndsExactlyAtItsFraction) {
  run::Identity identity = WithSchedule("wsd");
  EXPECT_EQ(LearningRateAt(identity, 12), 0.5);
  EXPECT_EQ(LearningRateAt(identity, 13), 0.5 * 7 / 8);
  EXPECT_EQ(LearningRateAt(identity, 16), 0.25);
  EXPECT_EQ(LearningRateAt(identity, 19), 0.5 / 8);
  EXPECT_EQ(LearningRateAt(identity, 20), 0.0);
  EXPECT_EQ(LearningRateAt(identity, 21), 0.0);
  identity.final_rate_fraction = 0.1;
  EXPECT_EQ(LearningRateAt(identity, 20), 0.5 * 0.1);
  EXPECT_DOUBLE_EQ(LearningRateAt(identity, 16), 0.5 * 0.55);
}

TEST(LearningRateTest, CosineIsHalfAWaveFromTheEndOfTheWarmUp) {
  run::Identity identity = WithSchedule("cosine");
  identity.final_rate_fraction = 0.1;
  EXPECT_EQ(LearningRateAt(identity, 4), 0.5);
  // (1 + cos(pi/4)) / 2 = 0.8535533905932737 and its mirror at three quarters.
  EXPECT_NEAR(LearningRateAt(identity, 8), 0.5 * (0.1 + 0.9 * 0.8535533905932737), 1e-16);
  EXPECT_NEAR(LearningRateAt(identity, 12), 0.5 * 0.55, 1e-16);
  EXPECT_NEAR(LearningRateAt(identity, 16), 0.5 * (0.1 + 0.9 * 0.1464466094067263), 1e-16);
  EXPECT_EQ(LearningRateAt(identity, 20), 0.5 * 0.1);
}

TEST(LearningRateTest, EveryScheduleHasTheBitsOfTheConstantOneUntilItFalls) {
  for (const char* schedule : {"wsd", "cosine"}) {
    run::Identity falling = WithSchedule(schedule);
    run::Identity constant = WithSchedule("constant");
    falling.learning_rate = constant.learning_rate = 0.1 + 0.2;
    falling.warmup_steps = constant.warmup_steps = 3;
    for (int64_t step = 1; step <= falling.decay_begin; ++step) {
      EXPECT_EQ(LearningRateAt(falling, step), LearningRateAt(constant, step))
          << schedule << " at " << step;
    }
  }
}

}  // namespace
}  // namespace allometry::trainer
