// Band 43: balanced sampling by equation 11, and what sequences hold.
#include "models/twm/replay.h"

#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "models/twm_losses.h"
#include "tests/models/twm/networks.h"

namespace allometry::models::twm {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr int kDraws = 20'000;

TEST(BalancedSamplingTest, OneDrawHasTheChancesOfEquation11) {
  const std::vector<float> visits = {0, 3, 1, 10, 40, 2};
  for (const double temperature : {2.0, 20.0, 0.0}) {
    std::vector<double> counts(visits.size(), 0.0);
    for (int i = 0; i < kDraws; ++i) {
      counts[static_cast<size_t>(
          DrawPlaces(visits, temperature, 1, static_cast<uint64_t>(i))[0])] += 1;
    }
    const std::vector<double> chances =
        TwmSampling(std::vector<double>(visits.begin(), visits.end()),
                    temperature > 0 ? temperature : std::numeric_limits<double>::infinity());
    for (size_t i = 0; i < visits.size(); ++i) {
      // Five standard errors.
      EXPECT_NEAR(counts[i] / kDraws, chances[i],
                  5 * std::sqrt(chances[i] * (1 - chances[i]) / kDraws) + 1e-6)
          << i << " at " << temperature;
    }
  }
}

TEST(BalancedSamplingTest, TheSecondOfTwoIsDrawnAmongTheOthers) {
  const std::vector<float> visits = {0, 2, 4};
  const std::vector<double> p = TwmSampling(std::vector<double>{0, 2, 4}, 2.0);
  double both = 0;  // places 0 and 1, in either order
  for (int i = 0; i < kDraws; ++i) {
    const std::vector<int64_t> drawn = DrawPlaces(visits, 2, 2, static_cast<uint64_t>(i) << 20);
    EXPECT_NE(drawn[0], drawn[1]);
    both += drawn[0] != 2 && drawn[1] != 2 ? 1 : 0;
  }
  const double expected = p[0] * p[1] / (1 - p[0]) + p[1] * p[0] / (1 - p[1]);
  EXPECT_NEAR(both / kDraws, expected, 5 * std::sqrt(expected * (1 - expected) / kDraws));
}

TEST(BalancedSamplingTest, AllPlacesAreDrawnOnceWhereAllAreAskedFor) {
  const std::vector<float> visits = {5, 0, 9, 100};
  EXPECT_THAT(DrawPlaces(visits, 20, 4, 7), UnorderedElementsAre(0, 1, 2, 3));
  EXPECT_EQ(DrawPlaces(visits, 20, 4, 7), DrawPlaces(visits, 20, 4, 7));
}

// Step t shows an image of value t.
Replay Played(int64_t count, const std::vector<PlayedStep>& special = {}) {
  Replay replay(count + 5);
  for (int64_t t = 0; t < count; ++t) {
    PlayedStep step =
        t < static_cast<int64_t>(special.size())
            ? special[static_cast<size_t>(t)]
            : PlayedStep{.action = static_cast<uint8_t>(t % 4), .reward = static_cast<float>(t)};
    replay.Add(step, std::vector<uint8_t>(kSide * kSide, static_cast<uint8_t>(t)));
  }
  return replay;
}

TEST(ReplayTest, OldStepsAreDrawnLessAsANewerOneIsAdded) {
  Replay replay = Played(30);
  std::set<int64_t> seen;
  for (uint64_t i = 0; i < 40; ++i) {
    for (const int64_t place : replay.Draw(5, 2, 4, i, /*counts=*/true)) seen.insert(place);
  }
  EXPECT_EQ(seen.size(), 25u);  // places 0 .. 24
  double sum = 0;
  for (const float visits : replay.visits()) sum += visits;
  EXPECT_EQ(sum, 160);
  // With a temperature of 2 the counts stay close: 160 over 25 places are 6.4 each.
  for (int64_t i = 0; i < 25; ++i) EXPECT_NEAR(replay.visits()[static_cast<size_t>(i)], 6.4, 4);
  for (int64_t i = 0; i < 10; ++i) {
    replay.Add({.action = 0}, std::vector<uint8_t>(kSide * kSide, 0));
    if (i == 4) break;
  }
  int newer = 0;
  for (uint64_t i = 100; i < 110; ++i) {
    for (const int64_t place : replay.Draw(5, 2, 4, i, /*counts=*/false)) newer += place >= 25;
  }
  EXPECT_GT(newer, 20);  // of 40; by turns it were 40 * 5 / 30
  EXPECT_EQ(replay.visits()[29], 0);
}

TEST(ReplayTest, SequencesHoldStackedImagesOfOneGame) {
  std::vector<PlayedStep> steps(9);
  steps[0].begins = true;
  for (size_t t = 0; t < steps.size(); ++t) {
    steps[t].action = static_cast<uint8_t>(t % 3);
    steps[t].reward = static_cast<float>(t);
  }
  steps[2].terminal = steps[2].stop = true;  // a life: the game goes on
  steps[4].stop = true;                      // cut off
  steps[5].begins = true;
  const Replay replay = Played(9, steps);
  const Sequences batch = replay.Gather(std::vector<int64_t>{1, 3}, 4);
  EXPECT_EQ(batch.frames.sizes().vec(), (std::vector<int64_t>{2, 5, 4, 64, 64}));
  const auto frames = [&](int64_t row, int64_t t) {
    std::vector<int> values;
    for (int64_t frame = 0; frame < 4; ++frame) {
      values.push_back(
          static_cast<int>(std::lround(batch.frames[row][t][frame][63][63].item<double>() * 255)));
    }
    return values;
  };
  EXPECT_THAT(frames(0, 0), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(frames(0, 3), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(frames(0, 4), ElementsAre(5, 5, 5, 5));
  EXPECT_THAT(frames(1, 4), ElementsAre(5, 5, 6, 7));
  const auto numbers = [](const at::Tensor& x) {
    std::vector<double> values;
    for (int64_t i = 0; i < x.size(0); ++i) values.push_back(x[i].item<double>());
    return values;
  };
  EXPECT_THAT(numbers(batch.actions[0]), ElementsAre(1, 2, 0, 1));
  EXPECT_THAT(numbers(batch.terminal[0]), ElementsAre(0, 1, 0, 0));
  EXPECT_THAT(numbers(batch.stop[0]), ElementsAre(0, 1, 0, 1));
  EXPECT_NEAR(batch.rewards[1][0].item<double>(), std::tanh(3.0), 1e-6);
}

}  // namespace
}  // namespace allometry::models::twm
