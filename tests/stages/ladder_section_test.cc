#include "coordinator/stages/ladder/ladder_section.h"

#include "gmock/gmock.h"

namespace allometry::stages {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

cost::PlannedRun MakeRun(const std::string& key, double flops, std::optional<double> seconds,
                         int ranks = 1) {
  cost::PlannedRun run;
  run.key = key;
  run.size = key.substr(0, key.find('/'));
  run.flops = flops;
  run.seconds = seconds;
  run.ranks = ranks;
  return run;
}

void Add(const cost::PlannedRun& run, cost::SweepPlan& plan) {
  plan.runs.push_back(run);
  plan.flops += run.flops;
  if (run.seconds) {
    plan.device_seconds = plan.device_seconds.value_or(0) + *run.seconds * run.ranks;
  }
}

// Two sizes; the grid continues their tuning runs and trains a second seed.
LadderForecast TwoSizes(bool timed = true) {
  const auto seconds = [&](double s) { return timed ? std::optional(s) : std::nullopt; };
  LadderForecast outlook;
  outlook.rule.rates = {1e-3, 2e-3, 4e-3};
  outlook.tune = "2M tokens";
  outlook.sizes = {{"5k", 100, {}, {}}, {"20k", 400, {}, {}}};
  Add(MakeRun("5k/1", 100, seconds(1)), outlook.tuning);
  Add(MakeRun("20k/1", 400, seconds(3), 2), outlook.tuning);
  Add(MakeRun("5k/1", 1000, seconds(10)), outlook.grid);
  Add(MakeRun("5k/2", 1000, seconds(10)), outlook.grid);
  Add(MakeRun("20k/1", 300, seconds(2), 2), outlook.grid);
  return outlook;
}

TEST(LadderSectionTest, BoundsCountWidenedAndTiedRatesAndTheContinuedRunOnce) {
  const LadderBounds bounds = BoundsOf(TwoSizes());
  EXPECT_EQ(bounds.runs.least_runs, 6);
  EXPECT_EQ(bounds.runs.most_runs, 18);  // 3, 4 more and 2 ties of each
  EXPECT_EQ(bounds.grid_flops, 2300);
  EXPECT_EQ(bounds.continued_flops, 100 + 300);
  EXPECT_EQ(bounds.least_flops(), 3 * 500 + 2300 - 400);
  EXPECT_EQ(bounds.most_flops(), 9 * 500 + 2300 - 400);
  // 1 and 6 device seconds of tuning, 24 of the grid, 1 and 4 of which are continued.
  EXPECT_EQ(*bounds.least_seconds, 3 * 7 + 24 - 5);
  EXPECT_EQ(*bounds.most_seconds, 9 * 7 + 24 - 5);
}

TEST(LadderSectionTest, WithoutTimesThereAreNone) {
  const LadderBounds bounds = BoundsOf(TwoSizes(false));
  EXPECT_FALSE(bounds.least_seconds.has_value());
  EXPECT_FALSE(bounds.most_seconds.has_value());
}

TEST(LadderSectionTest, SizesWithARateAreNotTunedAgain) {
  LadderForecast outlook = TwoSizes();
  outlook.sizes[0].decided = 2e-3;
  outlook.tuning = outlook.grid = cost::SweepPlan();
  Add(MakeRun("20k/1", 400, 3, 2), outlook.tuning);
  Add(MakeRun("20k/1", 300, 2, 2), outlook.grid);
  const LadderBounds bounds = BoundsOf(outlook);
  EXPECT_EQ(bounds.runs.least_runs, 3);
  EXPECT_EQ(bounds.least_flops(), 3 * 400 + 300 - 300);
}

TEST(LadderSectionTest, SaysWhatEachPartCosts) {
  const cost::PlanSection section = LadderSection(TwoSizes());
  EXPECT_EQ(section.title, "learning-rate ladder");
  ASSERT_THAT(section.sentences, SizeIs(4));
  EXPECT_THAT(section.sentences[0], HasSubstr("tuning runs: 2M tokens"));
  EXPECT_THAT(section.sentences[1], HasSubstr("at least 6 runs of 1.50e3 FLOPs together"));
  EXPECT_THAT(section.sentences[1], HasSubstr("at most 18 runs of 4.50e3"));
  EXPECT_THAT(section.sentences[2],
              HasSubstr("it continues the tuning runs at the chosen rates, 4.00e2 of them"));
  EXPECT_THAT(section.sentences[3], HasSubstr("at least 3.40e3 FLOPs, 40s of devices"));
  LadderForecast cosine = TwoSizes();
  for (cost::PlannedRun& run : cosine.grid.runs) run.key += "/cosine";
  EXPECT_THAT(LadderSection(cosine).sentences[2], HasSubstr("it continues no tuning run"));
}

}  // namespace
}  // namespace allometry::stages
