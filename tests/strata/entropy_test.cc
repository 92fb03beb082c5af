#include "data/strata/entropy.h"

#include <cmath>
#include <map>
#include <vector>

#include "data/strata/episode.h"
#include "data/strata/likelihood.h"
#include "data/strata/tokens.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::strata {
namespace {

Spec SpecOf(const std::string& text) { return *ParseSpec("strata:" + text); }

TEST(StrataEntropyTest, FirstTokenHasTheEntropyOfItsFrequencies) {
  const Spec spec = SpecOf("library=3,movers=0.5,view=8,zo=16,universe=3");
  const World world(spec);
  const Tokenizer tokenizer = *Tokenizer::Create(spec.view, spec.zo);
  std::map<int32_t, int> counts;
  std::vector<int32_t> tokens(16);
  constexpr int kEpisodes = 40000;
  for (uint64_t i = 0; i < kEpisodes; ++i) {
    tokenizer.Encode(Episode(world, i).view(), tokens);
    ++counts[tokens[0]];
  }
  double nats = 0;
  for (const auto& [token, count] : counts) {
    const double p = static_cast<double>(count) / kEpisodes;
    nats -= p * std::log(p);
  }
  // Miller and Madow's correction of the plug-in estimate's bias.
  nats += static_cast<double>(counts.size() - 1) / (2 * kEpisodes);
  EXPECT_NEAR(FirstTokenEntropy(world), nats, 0.02);
}

TEST(StrataEntropyTest, EqualsTheEntropyOfAllViewsOfATinyWorld) {
  // Without movers and with two prefabs a first view is one of few, so that its entropy can be had
  // from frequencies: 16 phases of at most 2^9 patterns, two seasons.
  const Spec spec = SpecOf("library=2,movers=0,view=8,zo=16,universe=3");
  const World world(spec);
  std::map<std::vector<uint8_t>, int> counts;
  constexpr int kEpisodes = 400000;
  for (uint64_t i = 0; i < kEpisodes; ++i) {
    const Episode episode(world, i);
    ++counts[std::vector<uint8_t>(episode.view().begin(), episode.view().end())];
  }
  double nats = 0;
  for (const auto& [view, count] : counts) {
    const double p = static_cast<double>(count) / kEpisodes;
    nats -= p * std::log(p);
  }
  nats += static_cast<double>(counts.size() - 1) / (2 * kEpisodes);
  EntropyOptions options;
  options.frames = 1;
  options.least_windows = 4096;
  const EntropyEstimate estimate = EstimateEntropy(world, options);
  EXPECT_NEAR(estimate.nats_per_token * 15 + estimate.first_token_nats, nats, 0.02);
  EXPECT_NEAR(estimate.frame_nats_per_token[0] * 16, nats, 0.1);
}

TEST(StrataEntropyTest, ControlsTakeMostOfTheSpreadAwayAndLeaveTheMean) {
  const World world(SpecOf("library=4096,view=8,zo=16,universe=3"));
  EntropyOptions options;
  options.frames = 2;
  options.least_windows = options.most_windows = 2000;
  const EntropyEstimate estimate = EstimateEntropy(world, options);
  EXPECT_EQ(estimate.windows, 2000);
  WindowLikelihood likelihood(world);
  double sum = 0, squares = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    Episode episode(world, i);
    likelihood.Begin();
    likelihood.Observe(episode.view(), 0);
    const int action = episode.Demonstrate();
    episode.Step(action);
    likelihood.Observe(episode.view(), action);
    sum -= likelihood.LogProbability();
    squares += std::pow(likelihood.LogProbability(), 2);
  }
  const double mean = sum / 2000, deviation = std::sqrt(squares / 2000 - mean * mean);
  const double plain_error = deviation / std::sqrt(2000) / 31;
  EXPECT_LT(estimate.standard_error, 0.7 * plain_error);
  EXPECT_NEAR(estimate.nats_per_token, (mean - estimate.first_token_nats) / 31, 4 * plain_error);
}

TEST(StrataEntropyTest, LaterFramesCostLessAndNoiseCostsMore) {
  EntropyOptions options;
  options.frames = 3;
  options.least_windows = options.most_windows = 200;
  const EntropyEstimate calm =
      EstimateEntropy(World(SpecOf("library=256,movers=1,noise=0,view=8,zo=16")), options);
  const EntropyEstimate noisy =
      EstimateEntropy(World(SpecOf("library=256,movers=1,noise=1,view=8,zo=16")), options);
  ASSERT_EQ(calm.frame_nats_per_token.size(), 3u);
  EXPECT_LT(calm.frame_nats_per_token[1], calm.frame_nats_per_token[0] / 2);
  EXPECT_GT(noisy.frame_nats_per_token[2], calm.frame_nats_per_token[2] + 0.1);
  EXPECT_GT(calm.action_nats, 0.5);
  EXPECT_LT(calm.action_nats, std::log(8));
}

}  // namespace
}  // namespace allometry::strata
