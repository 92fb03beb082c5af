#include "models/objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/testing/status_matchers.h"

namespace allometry::models {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(absl::string_view name, int context, const FrameTokens& frame) {
  const auto objective = Objective::Create(name, 0, 8, context, frame);
  return objective.ok() ? "" : std::string(objective.status().message());
}

// SCIENCE: 540 of 556 positions of a frame are supervised for a world model and 16 of 556 for
// behaviour cloning, here over K = 10 frames; the window's last position is masked.
TEST(ObjectiveTest, AWorldModelSees540Of556AndABehaviourClone16) {
  const FrameTokens frame{.observation = 540, .action = 16};
  ASSERT_OK_AND_ASSIGN(const Objective world,
                       Objective::Create("observation", 0, 4164, 5560, frame));
  ASSERT_OK_AND_ASSIGN(const Objective clone, Objective::Create("action", 0, 4164, 5560, frame));
  EXPECT_EQ(world.supervised().size(), 10u * 540 - 1);
  EXPECT_EQ(clone.supervised().size(), 10u * 16);
  EXPECT_EQ(world.frames(), 10);
  EXPECT_EQ(clone.supervised().front(), 539);
  EXPECT_EQ(clone.supervised().back(), 5558);
  EXPECT_EQ(world.supervised().back(), 5560 - 18);
}

TEST(ObjectiveTest, MasksFollowTheSuccessorAndNotTheTokenItself) {
  const FrameTokens frame{.observation = 3, .action = 2};
  ASSERT_OK_AND_ASSIGN(const Objective world, Objective::Create("observation", 0, 8, 10, frame));
  ASSERT_OK_AND_ASSIGN(const Objective clone, Objective::Create("action", 0, 8, 10, frame));
  // z z z a a z z z a a: position i is asked for token i + 1.
  EXPECT_THAT(world.supervised(), ElementsAre(0, 1, 4, 5, 6));
  EXPECT_THAT(clone.supervised(), ElementsAre(2, 3, 7, 8));
  EXPECT_EQ(world.FrameOf(1), 0);
  EXPECT_EQ(world.FrameOf(4), 1);
  std::vector<int32_t> targets(20, 5);
  clone.Mask(targets);
  EXPECT_THAT(std::vector<int32_t>(targets.begin() + 10, targets.end()),
              ElementsAre(-1, -1, 5, 5, -1, -1, -1, 5, 5, -1));
}

TEST(ObjectiveTest, AWorldIsObservationsAndOutcomesEachWithItsOwnMean) {
  const FrameTokens frame{.observation = 3, .action = 1, .outcome = 1};
  ASSERT_OK_AND_ASSIGN(const Objective world, Objective::Create("world", 0, 8, 10, frame));
  // z z z a e z z z a e
  EXPECT_THAT(world.supervised(), ElementsAre(0, 1, 4, 5, 6));
  EXPECT_THAT(world.outcomes(), ElementsAre(3, 8));
  const float z = 0.2f, e = 0.5f;
  EXPECT_THAT(world.weights(), ElementsAre(z, z, 0, e, z, z, z, 0, e, 0));
  EXPECT_EQ(world.frames(), 2);
  std::vector<int32_t> targets = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
  world.Mask(targets);
  EXPECT_THAT(targets, ElementsAre(10, 11, -1, 13, 14, 15, 16, -1, 18, -1));
  // The others see the outcome, and are not asked for it.
  ASSERT_OK_AND_ASSIGN(const Objective plain, Objective::Create("observation", 0, 8, 10, frame));
  EXPECT_THAT(plain.supervised(), ElementsAre(0, 1, 4, 5, 6));
  EXPECT_TRUE(plain.weights().empty());
  ASSERT_OK_AND_ASSIGN(const Objective clone, Objective::Create("action", 0, 8, 10, frame));
  EXPECT_THAT(clone.supervised(), ElementsAre(2, 7));
  EXPECT_THAT(ErrorOf("world", 8, {.observation = 3, .action = 1}),
              HasSubstr("objective world needs a dataset whose frames have an outcome token"));
}

TEST(ObjectiveTest, DenseCountsEverythingAndSparseTheLastPosition) {
  ASSERT_OK_AND_ASSIGN(const Objective dense, Objective::Create("", 0, 8, 4, {}));
  ASSERT_OK_AND_ASSIGN(const Objective sparse, Objective::Create("sparse", 0, 8, 4, {}));
  std::vector<int32_t> targets = {1, 2, 3, 4, 5, 6, 7, 0};
  dense.Mask(targets);
  EXPECT_THAT(targets, ElementsAre(1, 2, 3, 4, 5, 6, 7, 0));
  sparse.Mask(targets);
  EXPECT_THAT(targets, ElementsAre(-1, -1, -1, 4, -1, -1, -1, 0));
  EXPECT_TRUE(sparse.classes().empty());
  EXPECT_EQ(sparse.frames(), 0);
}

TEST(ObjectiveTest, ClassesAreHalvesThatDependOnTheSeedAlone) {
  for (const int vocabulary : {2, 7, 128, 4164}) {
    const std::vector<uint8_t> classes = BalancedClasses(vocabulary, 5);
    EXPECT_EQ(std::accumulate(classes.begin(), classes.end(), 0), vocabulary / 2);
    EXPECT_EQ(classes, BalancedClasses(vocabulary, 5));
  }
  EXPECT_NE(BalancedClasses(128, 5), BalancedClasses(128, 6));
  // Stored runs depend on the map.
  EXPECT_THAT(BalancedClasses(10, 1), ElementsAre(1, 1, 0, 0, 0, 1, 1, 1, 0, 0));
  // Every id is as often in either class.
  std::vector<int> ones(32, 0);
  for (int seed = 0; seed < 2000; ++seed) {
    const std::vector<uint8_t> classes = BalancedClasses(32, seed);
    for (int id = 0; id < 32; ++id) ones[id] += classes[id];
  }
  for (const int count : ones) EXPECT_NEAR(count, 1000, 5 * std::sqrt(500));
}

TEST(ObjectiveTest, ClassEntropyIsThatOfTheSharesNotOfTheIds) {
  const std::vector<uint8_t> classes = {0, 1, 0, 1};
  const std::vector<int64_t> even = {5, 5, 5, 5}, uneven = {3, 0, 0, 1}, one = {7, 0, 2, 0};
  EXPECT_DOUBLE_EQ(ClassEntropy(classes, even), std::log(2.0));
  EXPECT_DOUBLE_EQ(ClassEntropy(classes, uneven), -0.75 * std::log(0.75) - 0.25 * std::log(0.25));
  EXPECT_EQ(ClassEntropy(classes, one), 0);
}

TEST(ObjectiveTest, EveryRowIsFoundByItsNameAndAWrongOneListsThem) {
  for (const ObjectiveRow& row : Objectives()) {
    ASSERT_OK_AND_ASSIGN(const ObjectiveRow found, FindObjective(row.name));
    EXPECT_STREQ(found.name, row.name);
    const FrameTokens frame =
        row.needs_frames ? FrameTokens{.observation = 4, .action = 1, .outcome = 1} : FrameTokens{};
    EXPECT_OK(Objective::Create(row.name, 3, 16, 12, frame).status());
  }
  EXPECT_THAT(ErrorOf("dance", 4, {}), HasSubstr("allowed are dense, sparse, super, observation"));
}

TEST(ObjectiveTest, WhatADatasetCannotGiveIsRefusedInASentence) {
  EXPECT_THAT(ErrorOf("observation", 8, {}), HasSubstr("needs a dataset of frames"));
  EXPECT_THAT(ErrorOf("action", 8, {.observation = 4, .action = 0}), HasSubstr("have none"));
  EXPECT_THAT(ErrorOf("observation", 8, {.observation = 4, .action = 1}),
              HasSubstr("context 8 is not a number of whole frames of 5 tokens"));
  EXPECT_THAT(ErrorOf("sparse", 10, {.observation = 4, .action = 1}),
              HasSubstr("allowed are dense, observation, action and world"));
  EXPECT_THAT(ErrorOf("observation", 1, {.observation = 1, .action = 0}),
              HasSubstr("nothing to predict"));
}

}  // namespace
}  // namespace allometry::models
