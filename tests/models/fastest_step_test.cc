#include "models/fastest_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace allometry::models {
namespace {

using testing::HasSubstr;

TEST(FastestStepTest, EveryStepThatTakesTheShapeIsTimed) {
  // On a shape as small as this, autograd's dispatch alone takes longer than the fused step.
  const auto fastest = FindFastestCpuStep({"gpt", 1, 1, 16, 16, 32}, 16);
  ASSERT_TRUE(fastest.ok()) << fastest.status();
  EXPECT_EQ(fastest->name, "fused_cpu");
  EXPECT_THAT(fastest->timing, HasSubstr("fused_cpu "));
  EXPECT_THAT(fastest->timing, HasSubstr(" ms, autograd "));
  EXPECT_THAT(fastest->timing, HasSubstr(" ms of CPU time for 16 sequences"));
}

TEST(FastestStepTest, SequencesAreFewerWhereTheirActivationsAreMany) {
  // 20 * 2 * 64 + 3 * 64 floats a token, 2.7 MiB a sequence: 47 fit into 128 MiB, so a third.
  const auto fastest = FindFastestCpuStep({"gpt", 2, 4, 64, 256, 64}, 100);
  ASSERT_TRUE(fastest.ok()) << fastest.status();
  EXPECT_THAT(fastest->timing, HasSubstr(" for 34 sequences"));
}

TEST(FastestStepTest, TheOnlyStepThatTakesAShapeIsNotTimed) {
  const auto fastest = FindFastestCpuStep({"gpt", 8, 8, 64, 20'000, 64}, 1);
  ASSERT_TRUE(fastest.ok()) << fastest.status();
  EXPECT_EQ(fastest->name, "autograd");
  EXPECT_EQ(fastest->timing, "");
}

TEST(FastestStepTest, AShapeThatNoStepTakesIsAnErrorOfTheShape) {
  const auto fastest = FindFastestCpuStep({"gpt", 1, 3, 16, 16, 32}, 16);
  EXPECT_TRUE(absl::IsInvalidArgument(fastest.status())) << fastest.status();
  EXPECT_THAT(std::string(fastest.status().message()), HasSubstr("heads"));
}

}  // namespace
}  // namespace allometry::models
