#include "coordinator/stages/ladder/ladder.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "gmock/gmock.h"

namespace allometry::stages {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Loss of a size at a rate; infinity: it diverges.
using Losses = std::function<double(const std::string&, double)>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A parabola in log2 rate with its least at `best`.
double Bowl(double rate, double best) { return 2 + 0.1 * std::pow(std::log2(rate / best), 2); }

Trial Measured(double rate, double loss) {
  Trial trial;
  trial.rate = rate;
  trial.state = std::isfinite(loss) ? TrialState::kMeasured : TrialState::kDiverged;
  trial.loss = std::isfinite(loss) ? loss : 0;
  return trial;
}

std::vector<LadderSize> Sizes(const std::vector<std::string>& labels) {
  std::vector<LadderSize> sizes;
  for (const std::string& label : labels) {
    sizes.emplace_back().label = label;
    sizes.back().trial_flops = 100;
  }
  return sizes;
}

struct Climb {
  LadderDecision decision;
  int trials = 0;
  // Rates by size, ascending.
  std::vector<double> Rates(size_t place) const {
    std::vector<double> rates;
    for (const Trial& trial : decision.sizes.at(place).trials) rates.push_back(trial.rate);
    return rates;
  }
};

// Measures what is asked for, one trial at a time (the last asked for first), until nothing is.
Climb ClimbTo(const LadderRule& rule, std::vector<LadderSize> sizes, const Losses& losses) {
  Climb climb;
  for (;;) {
    climb.decision = DecideLadder(rule, sizes);
    LadderSize* asks = nullptr;
    double rate = 0;
    for (const SizeDecision& size : climb.decision.sizes) {
      for (const Trial& trial : size.trials) {
        if (trial.state != TrialState::kMissing) continue;
        asks = &*std::find_if(sizes.begin(), sizes.end(),
                              [&](const LadderSize& known) { return known.label == size.label; });
        rate = trial.rate;
      }
    }
    if (asks == nullptr) return climb;
    if (++climb.trials > 1000) {
      ADD_FAILURE() << "asks without end";
      return climb;
    }
    asks->trials.push_back(Measured(rate, losses(asks->label, rate)));
  }
}

LadderRule RuleOf(std::vector<double> rates) {
  LadderRule rule;
  rule.rates = std::move(rates);
  return rule;
}

// 5.66e-3 won at the first size, so the second tries 2.83e-3, 5.66e-3 and 0.0113, of which the last
// two tie: sqrt(5.66e-3 x 0.0113) is 7.997e-3, and with 5.65e-3 it would be 7.990e-3.
TEST(LadderTest, HalfStepsMeetTheRatesOfTheFileAgain) {
  for (const double named : {8e-3, 8.004e-3}) {
    const LadderRule rule = RuleOf({2e-3, 4e-3, named});
    const Climb climb = ClimbTo(rule, Sizes({"5k", "20k"}), [&](const std::string& size, double r) {
      const double best = size == "5k" ? 4e-3 * std::sqrt(2.0) : named;
      // Flat between half steps, so that neighbours tie.
      return 2 + std::max(0.0, std::abs(std::log2(r / best)) - 0.55);
    });
    ASSERT_THAT(climb.decision.sizes, SizeIs(2));
    EXPECT_THAT(climb.Rates(1), Contains(named));
  }
}

TEST(LadderTest, WhateverIsClimbedRatesStayOnOneGrid) {
  const LadderRule rule = RuleOf({4e-3, 8e-3});
  std::set<double> grid;
  for (int half = -24; half <= 24; ++half) {
    const double rate = 8e-3 * std::pow(2.0, half / 2.0);
    grid.insert(std::stod(absl::StrFormat("%.2e", rate)));
  }
  const std::vector<std::string> labels = {"1", "2", "3", "4", "5", "6", "7", "8"};
  for (const int way : {-1, 1}) {
    // A half step down, or up, from size to size.
    const Climb climb = ClimbTo(rule, Sizes(labels), [&](const std::string& size, double r) {
      const double best = 8e-3 * std::pow(2.0, way * (std::stoi(size) - 0.5) / 2);
      return Bowl(r, best);
    });
    EXPECT_TRUE(climb.decision.done);
    for (size_t size = 0; size < labels.size(); ++size) {
      for (const double rate : climb.Rates(size)) EXPECT_TRUE(grid.contains(rate)) << rate;
    }
  }
}

struct Case {
  std::string what;
  std::vector<double> rates;
  std::function<double(double)> loss;
  double chosen;  // 0: none, it is blocked
  std::vector<double> tried;
  int max_widen = 4;
};

TEST(LadderTest, ChoosesForOneSize) {
  const std::vector<Case> cases = {
      {"interior",
       {1e-3, 2e-3, 4e-3},
       [](double r) { return Bowl(r, 2.2e-3); },
       2e-3,
       {1e-3, 2e-3, 4e-3}},
      {"widened above",
       {1e-3, 2e-3, 4e-3},
       [](double r) { return Bowl(r, 8.5e-3); },
       8e-3,
       {1e-3, 2e-3, 4e-3, 8e-3, 0.016}},
      {"widened below",
       {1e-3, 2e-3, 4e-3},
       [](double r) { return Bowl(r, 5.2e-4); },
       5e-4,
       {2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3}},
      {"one rate: both sides",
       {2e-3},
       [](double r) { return Bowl(r, 2.1e-3); },
       2e-3,
       {1e-3, 2e-3, 4e-3}},
      {"a tie is split and the half-octave wins",
       {1e-3, 2e-3, 4e-3},
       [](double r) { return Bowl(r, 2e-3 * 1.42); },
       2.83e-3,
       {1e-3, 2e-3, 2.83e-3, 4e-3, 8e-3}},
      {"a tie is split and the half-octave loses",
       {1e-3, 2e-3, 4e-3, 8e-3},
       [](double r) { return r == 2e-3   ? 2.0
                             : r == 4e-3 ? 2.001
                                         : 3.0; },
       2e-3,
       {1e-3, 2e-3, 2.83e-3, 4e-3, 8e-3}},
      {"divergence above is worse than anything",
       {1e-3, 2e-3, 4e-3},
       [](double r) { return r > 3e-3 ? kInfinity : Bowl(r, 2e-3); },
       2e-3,
       {1e-3, 2e-3, 4e-3}},
      {"all diverged: downwards",
       {0.1, 0.2, 0.4},
       [](double r) { return r > 0.03 ? kInfinity : Bowl(r, 0.0125); },
       0.0125,
       {6.25e-3, 0.0125, 0.025, 0.05, 0.1, 0.2, 0.4}},
      {"rising for ever",
       {1e-3, 2e-3},
       [](double r) { return 2 + r; },
       0,
       {1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3},
       3},
      {"falling for ever",
       {1e-3, 2e-3},
       [](double r) { return 2 - r; },
       0,
       {1e-3, 2e-3, 4e-3, 8e-3, 0.016},
       3},
      {"flat: the smallest of equal losses is at the edge",
       {1e-3, 2e-3, 4e-3},
       [](double) { return 2.0; },
       0,
       {5e-4, 1e-3, 2e-3, 4e-3},
       1},
      {"diverges everywhere", {1.0}, [](double) { return kInfinity; }, 0, {0.5, 1.0, 2.0}, 2},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    LadderRule rule = RuleOf(one.rates);
    rule.max_widen = one.max_widen;
    const Climb climb = ClimbTo(rule, Sizes({"5k"}),
                                [&](const std::string&, double rate) { return one.loss(rate); });
    ASSERT_THAT(climb.decision.sizes, SizeIs(1));
    const SizeDecision& size = climb.decision.sizes[0];
    EXPECT_EQ(size.chosen.value_or(0), one.chosen) << size.sentence;
    EXPECT_EQ(climb.decision.done, one.chosen != 0);
    EXPECT_EQ(climb.decision.blocked, one.chosen == 0) << size.sentence;
    EXPECT_EQ(climb.Rates(0), one.tried);
  }
}

TEST(LadderTest, TheOptimumFollowsTheSizes) {
  // The true optimum halves with every size; the grid of the first is too high by two octaves.
  const std::map<std::string, double> best = {
      {"5k", 4e-3}, {"20k", 2e-3}, {"80k", 1e-3}, {"320k", 5e-4}};
  const Climb climb = ClimbTo(
      RuleOf({0.016, 0.032, 0.064}), Sizes({"5k", "20k", "80k", "320k"}),
      [&](const std::string& size, double rate) { return Bowl(rate, best.at(size) * 1.1); });
  ASSERT_TRUE(climb.decision.done);
  for (const SizeDecision& size : climb.decision.sizes) {
    EXPECT_EQ(*size.chosen, best.at(size.label)) << size.sentence;
  }
  EXPECT_THAT(climb.Rates(1), ElementsAre(1e-3, 2e-3, 4e-3, 8e-3));  // from 4e-3, widened below
  EXPECT_EQ(climb.trials, 6 + 4 + 4 + 4);
}

TEST(LadderTest, ALargerSizeWaitsForTheSmaller) {
  const LadderDecision decision = DecideLadder(RuleOf({1e-3, 2e-3, 4e-3}), Sizes({"5k", "20k"}));
  ASSERT_THAT(decision.sizes, SizeIs(1));
  EXPECT_THAT(decision.sizes[0].sentence, HasSubstr("5k: 0 of 3 rates measured"));
  EXPECT_FALSE(decision.done);
  EXPECT_FALSE(decision.blocked);
}

TEST(LadderTest, PartOfTheResultsDecideNothing) {
  // Even where what is missing could not win any more by the look of it.
  std::vector<LadderSize> sizes = Sizes({"5k"});
  sizes[0].trials = {Measured(2e-3, 2.0), Measured(4e-3, 3.0)};
  const LadderDecision decision = DecideLadder(RuleOf({1e-3, 2e-3, 4e-3}), sizes);
  EXPECT_FALSE(decision.sizes[0].chosen.has_value());
  EXPECT_THAT(decision.sizes[0].trials, SizeIs(3));
}

TEST(LadderTest, AFailedRunBlocksAndSaysWhich) {
  std::vector<LadderSize> sizes = Sizes({"5k"});
  sizes[0].trials = {Measured(1e-3, 2.1),
                     Measured(2e-3, 2.0),
                     {4e-3, TrialState::kFailed, 0, "run 7 failed with OOM"}};
  const LadderDecision decision = DecideLadder(RuleOf({1e-3, 2e-3, 4e-3}), sizes);
  EXPECT_TRUE(decision.blocked);
  EXPECT_THAT(decision.sizes[0].sentence, HasSubstr("run 7 failed with OOM"));
}

TEST(LadderTest, AnOptimumAtTheEdgeIsTakenWhereTheRuleAllows) {
  LadderRule rule = RuleOf({1e-3, 2e-3});
  rule.max_widen = 2;
  const Losses falling = [](const std::string&, double rate) { return 2 - rate; };
  const Climb refused = ClimbTo(rule, Sizes({"5k"}), falling);
  EXPECT_TRUE(refused.decision.blocked);
  EXPECT_THAT(refused.decision.sizes[0].sentence,
              HasSubstr("the least loss is at 0.008, the highest of its rates"));
  rule.accept_edge = true;
  const Climb accepted = ClimbTo(rule, Sizes({"5k"}), falling);
  EXPECT_EQ(accepted.decision.sizes[0].chosen, 8e-3);
  EXPECT_TRUE(accepted.decision.sizes[0].at_edge);
}

TEST(LadderTest, AWiderRuleGoesOnWhereANarrowerWasBlocked) {
  std::vector<LadderSize> sizes = Sizes({"5k"});
  LadderRule rule = RuleOf({1e-3, 2e-3, 4e-3});
  rule.max_widen = 1;
  const Losses losses = [](const std::string&, double rate) { return Bowl(rate, 0.016); };
  const Climb narrow = ClimbTo(rule, sizes, losses);
  ASSERT_TRUE(narrow.decision.blocked);
  sizes[0].trials = narrow.decision.sizes[0].trials;
  rule.max_widen = 4;
  const Climb wide = ClimbTo(rule, sizes, losses);
  EXPECT_EQ(wide.decision.sizes[0].chosen, 0.016);
  EXPECT_EQ(wide.trials, 2);  // 0.016 and 0.032; what was measured is not measured again
}

TEST(LadderTest, DecidedSizesStayAndNewOnesBeginAtTheirNeighbour) {
  std::vector<LadderSize> sizes = Sizes({"5k", "20k", "80k"});
  sizes[1].decided = 3e-3;
  const LadderRule rule = RuleOf({1e-3, 2e-3, 4e-3});
  const LadderDecision decision = DecideLadder(rule, sizes);
  ASSERT_THAT(decision.sizes, SizeIs(2));  // 80k waits for 5k, which was added below
  EXPECT_THAT(decision.sizes[0].trials, ElementsAre(::testing::Field(&Trial::rate, 1.5e-3),
                                                    ::testing::Field(&Trial::rate, 3e-3),
                                                    ::testing::Field(&Trial::rate, 6e-3)));
  EXPECT_EQ(decision.sizes[1].chosen, 3e-3);
  EXPECT_FALSE(decision.done);
}

TEST(LadderTest, SizesThatAreAllDecidedAreDone) {
  std::vector<LadderSize> sizes = Sizes({"5k"});
  sizes[0].decided = 3e-3;
  EXPECT_TRUE(DecideLadder(RuleOf({1.0}), sizes).done);
}

TEST(LadderTest, CostBoundsHoldOnEveryCurve) {
  const LadderRule rule = RuleOf({1e-3, 2e-3, 4e-3, 8e-3});
  const std::vector<LadderSize> sizes = Sizes({"5k", "20k", "80k"});
  const LadderCost cost = CostOfLadder(rule, sizes);
  EXPECT_EQ(cost.least_runs, 4 + 3 + 3);
  EXPECT_EQ(cost.most_runs, 10 + 3 * (4 + 2));
  EXPECT_EQ(cost.least_flops, 1000);
  EXPECT_EQ(cost.most_flops, 2800);
  for (const double best : {2.5e-4, 1e-3, 2.83e-3, 4e-3, 3e-2}) {
    const Climb climb =
        ClimbTo(rule, sizes, [&](const std::string&, double rate) { return Bowl(rate, best); });
    ASSERT_TRUE(climb.decision.done) << best;
    EXPECT_GE(climb.trials, cost.least_runs) << best;
    EXPECT_LE(climb.trials, cost.most_runs) << best;
  }
}

TEST(LadderTest, DecidedSizesCostNothing) {
  std::vector<LadderSize> sizes = Sizes({"5k", "20k"});
  sizes[0].decided = 1e-3;
  EXPECT_EQ(CostOfLadder(RuleOf({1e-3, 2e-3, 4e-3, 8e-3}), sizes).least_runs, 3);
}

}  // namespace
}  // namespace allometry::stages
