// From a loss to a score, with a known sigmoid.
#include "fitting/direct/scores.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fitting/solve/statistics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::fitting {
namespace {

using ::testing::HasSubstr;

constexpr double kHalf = 2.4, kWidth = 0.15, kChance = 0.25;

double True(double loss) {
  return kChance + (1 - kChance) / (1 + std::exp((loss - kHalf) / kWidth));
}

ScoreTable Runs(uint64_t seed, double noise, double lowest = 2.1) {
  ScoreTable table;
  Random random(seed, 9);
  for (int size = 0; size < 8; ++size) {
    for (int k = 0; k < 3; ++k) {
      const double loss = lowest + (3.4 - lowest) * (7 - size + k / 3.0) / 8;
      table.runs.push_back({loss, True(loss) + noise * random.Normal(), 1e7 * std::pow(2.0, size)});
    }
  }
  table.total = static_cast<int64_t>(table.runs.size());
  return table;
}

ScoreFit::At AtLoss(double loss, double half_width) {
  ScoreFit::At at;
  at.flops = 1e22;
  at.loss.estimate = loss;
  at.loss.lower = loss - half_width, at.loss.upper = loss + half_width;
  return at;
}

TEST(ScoresTest, RecoversTheSigmoid) {
  const auto fit = FitScores(Runs(1, 0), {kChance, 1}, {AtLoss(2.0, 0.01)});
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_FALSE(fit->refused);
  EXPECT_NEAR(*fit->half.estimate, kHalf, 1e-8);
  EXPECT_NEAR(*fit->width.estimate, kWidth, 1e-8);
  EXPECT_NEAR(*fit->predictions[0].score.estimate, True(2.0), 1e-8);
  EXPECT_THAT(ScoresText(*fit), HasSubstr("the loss is 0.100 below"));
}

TEST(ScoresTest, IntervalsHoldTheTruthAndGrowWithTheLosss) {
  constexpr int kTables = 200;
  int half = 0, score = 0, usable = 0;
  for (int seed = 0; seed < kTables; ++seed) {
    // A loss that is off as its interval says.
    Random random(seed, 10);
    const double off = 0.03 * random.Normal();
    const auto fit = FitScores(Runs(seed, 0.015), {kChance, 1}, {AtLoss(2.0 + off, 1.96 * 0.03)});
    ASSERT_TRUE(fit.ok() && !fit->refused);
    half += *fit->half.lower <= kHalf && kHalf <= *fit->half.upper;
    if (fit->not_usable) continue;
    ++usable;
    const Estimate& at = fit->predictions[0].score;
    score += *at.lower <= True(2.0) && True(2.0) <= *at.upper;
  }
  EXPECT_GE(half, 180);
  EXPECT_GE(usable, 180) << "one table of twenty has a pattern by chance";
  EXPECT_GE(score, usable * 0.9);
}

TEST(ScoresTest, AWrongChanceIsSeenInTheResiduals) {
  const auto fit = FitScores(Runs(1, 0.003), {0.1, 1}, {AtLoss(2.0, 0.01)});
  ASSERT_TRUE(fit.ok()) << fit.status();
  ASSERT_TRUE(fit->not_usable);
  EXPECT_THAT(*fit->not_usable, HasSubstr("chance 0.1"));
  EXPECT_FALSE(fit->predictions[0].score.lower);
}

TEST(ScoresTest, RunsThatDoNotShowTheRiseAreRefused) {
  const auto flat = FitScores(Runs(1, 0.003, 3.2), {kChance, 1}, {});
  ASSERT_TRUE(flat.ok()) << flat.status();
  ASSERT_TRUE(flat->refused);
  EXPECT_THAT(*flat->refused, HasSubstr("hardly above chance"));
  EXPECT_THAT(FitScores(Runs(1, 0), {0.5, 0.4}, {}).status().message(), HasSubstr("below"));
  ScoreTable percent = Runs(1, 0);
  for (ScoredRun& run : percent.runs) run.score *= 100;
  EXPECT_THAT(FitScores(percent, {kChance, 1}, {}).status().message(),
              HasSubstr("percentages have a ceiling of 100"));
  ScoreTable few = Runs(1, 0);
  few.runs.resize(3);
  EXPECT_THAT(*FitScores(few, {kChance, 1}, {})->refused, HasSubstr("3 runs"));
}

TEST(ScoresTest, ReadsATable) {
  const allometry::testing::TemporaryFolder folder;
  const std::string path = folder.Path("runs.csv");
  std::ofstream(path) << "N,D,val_loss,acc\n1e7,1e9,3.1,0\n2e7,1e9,3.0,\n4e7,1e9,2.9,.3\n";
  const auto table = ReadScores(path, {});
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->runs.size(), 2u);
  EXPECT_EQ(table->runs[0].score, 0);
  EXPECT_EQ(table->runs[1].params, 4e7);
  EXPECT_TRUE(table->exclusions.empty());
  EXPECT_EQ(table->total, 3);
}

TEST(ScoresTest, JsonHasNullForWhatIsNotThere) {
  const auto fit = FitScores(Runs(1, 0.01), {kChance, 1}, {AtLoss(2.2, 0.01), {1e23, {}, {}}});
  const auto json = nlohmann::json::parse(ScoresJson(*fit));
  EXPECT_TRUE(json["refused"].is_null());
  EXPECT_TRUE(json["predictions"][0]["score"]["lower"].is_number());
  EXPECT_TRUE(json["predictions"][1]["score"]["estimate"].is_null());
}

}  // namespace
}  // namespace allometry::fitting
