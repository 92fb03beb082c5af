#include "coordinator/stages/stopping/stopping.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fitting/design/expected_width.h"
#include "fitting/report/fit.h"
#include "gmock/gmock.h"

namespace allometry::stages {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kOpen = -1;
constexpr double kLeftOut = 0;
constexpr double kDiverged = -2;
constexpr double kFailed = -3;

StoppingRule Rule(size_t budgets = 4) {
  StoppingRule rule;
  for (size_t i = 0; i < budgets; ++i) rule.budgets.push_back(std::pow(10.0, 10.0 + i));
  return rule;
}

// One size: its losses, or what stands for one.
StoppingSize Size(const std::string& label, const std::vector<double>& losses) {
  StoppingSize size;
  size.label = label;
  for (const double loss : losses) {
    StoppingCell& cell = size.cells.emplace_back();
    cell.state = loss > 0           ? CellState::kMeasured
                 : loss == kOpen    ? CellState::kOpen
                 : loss == kLeftOut ? CellState::kLeftOut
                 : loss == kFailed  ? CellState::kFailed
                                    : CellState::kDiverged;
    cell.loss = std::max(loss, 0.0);
    if (loss == kFailed) cell.reason = "run 7 failed with KILLED";
  }
  return size;
}

std::vector<StoppingSize> Sizes(const std::vector<std::vector<double>>& losses) {
  std::vector<StoppingSize> sizes;
  for (const auto& of_size : losses) {
    sizes.push_back(Size(std::string(1, static_cast<char>('a' + sizes.size())), of_size));
  }
  return sizes;
}

// Budgets granted to each size.
std::vector<int> Granted(const StoppingRule& rule, const StoppingDecision& decision) {
  std::vector<int> granted;
  for (const SizeGrant& grant : decision.sizes) {
    granted.push_back(
        static_cast<int>(std::count_if(rule.budgets.begin(), rule.budgets.end(),
                                       [&](double flops) { return flops <= grant.up_to; })));
  }
  return granted;
}
std::vector<std::string> Stopped(const StoppingDecision& decision) {
  std::vector<std::string> stopped;
  for (const SizeGrant& grant : decision.sizes) {
    if (grant.stopped) stopped.push_back(grant.label);
  }
  return stopped;
}

struct Case {
  std::string what;
  std::vector<std::vector<double>> losses;  // of sizes, ascending; four budgets
  std::vector<int> granted;
  std::vector<std::string> stopped;
  std::string waits;  // empty: done
};

TEST(StoppingTest, DecidesByTable) {
  const double o = kOpen;
  const std::vector<Case> cases = {
      {"nothing known: two budgets, all of the three largest",
       {{o, o, o, o}, {o, o, o, o}, {o, o, o, o}, {o, o, o, o}, {o, o, o, o}},
       {2, 2, 4, 4, 4},
       {},
       "when 10 more cells"},
      {"behind by more, and more each time, with two between: stops",
       {{3.1, 3.0, o, o}, {3.0, 2.7, o, o}, {2.9, 2.6, o, o}, {2.8, 2.5, o, o}, {3.2, 2.7, o, o}},
       {2, 3, 4, 4, 4},
       {"a"},
       "budgets from 1.00e13 FLOPs on follow when 4 more cells"},
      {"the gap shrinks: goes on",
       {{3.6, 3.0, o, o}, {3.0, 2.7, o, o}, {2.9, 2.6, o, o}, {2.8, 2.5, o, o}, {3.2, 2.7, o, o}},
       {3, 3, 4, 4, 4},
       {},
       "1.00e13"},
      {"within the margin at first: goes on",
       {{2.82, 2.7, o, o},
        {2.81, 2.6, o, o},
        {2.805, 2.55, o, o},
        {2.8, 2.5, o, o},
        {3, 2.7, o, o}},
       {3, 3, 4, 4, 4},
       {},
       "1.00e13"},
      {"one between only at the first budget: goes on",
       {{3.1, 3.0, o, o}, {3.0, 2.7, o, o}, {2.8, 2.6, o, o}, {2.9, 2.5, o, o}, {3.2, 2.7, o, o}},
       {3, 3, 4, 4, 4},
       {},
       "1.00e13"},
      {"one cell is missing: all wait for it",
       {{3.1, 3.0, o, o}, {3.0, 2.7, o, o}, {2.9, 2.6, o, o}, {2.8, 2.5, o, o}, {3.2, o, o, o}},
       {2, 2, 4, 4, 4},
       {},
       "budgets from 1.00e12 FLOPs on follow when 1 more cells"},
      {"a larger size has no cell at the first budget",
       {{3.1, 3.0, o, o},
        {3.0, 2.7, o, o},
        {2.9, 2.6, o, o},
        {2.8, 2.5, o, o},
        {kLeftOut, 2.7, o, o}},
       {2, 3, 4, 4, 4},
       {"a"},
       "1.00e13"},
      {"what lies between has diverged and does not count",
       {{3.1, 3.0, o, o},
        {3.0, 2.7, o, o},
        {kDiverged, kDiverged, kDiverged, kDiverged},
        {2.8, 2.5, o, o},
        {3.2, 2.7, o, o}},
       {3, 3, 4, 4, 4},
       {},
       "1.00e13"},
      {"a failed run blocks",
       {{3.1, 3.0, o, o},
        {3.0, kFailed, o, o},
        {2.9, 2.6, o, o},
        {2.8, 2.5, o, o},
        {3.2, 2.7, o, o}},
       {2, 2, 4, 4, 4},
       {},
       "budgets from 1.00e12 FLOPs on wait: b has no loss at 1.00e11 FLOPs: run 7 failed with "
       "KILLED"},
      {"the next stops one budget later",
       {{3.1, 3.0, o, o},
        {3.0, 2.7, 2.6, o},
        {2.9, 2.6, 2.4, o},
        {2.8, 2.5, 2.3, o},
        {3.2, 2.49, 2.2, o}},
       {2, 3, 4, 4, 4},
       {"a", "b"},
       ""},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    const StoppingRule rule = Rule();
    const StoppingDecision decision = DecideStopping(rule, Sizes(one.losses));
    EXPECT_EQ(Granted(rule, decision), one.granted);
    EXPECT_EQ(Stopped(decision), one.stopped);
    EXPECT_THAT(decision.waits, HasSubstr(one.waits));
    EXPECT_EQ(decision.waits.empty(), one.waits.empty());
    EXPECT_EQ(decision.done, one.waits.empty());
    EXPECT_EQ(decision.blocked, one.what == "a failed run blocks");
  }
}

TEST(StoppingTest, AStoppedSizeSaysWhy) {
  const StoppingDecision decision = DecideStopping(
      Rule(3),
      Sizes({{3.08, 3.0, kOpen}, {3.0, 2.7, kOpen}, {2.9, 2.6, kOpen}, {2.8, 2.5, kOpen}}));
  EXPECT_TRUE(decision.done);
  EXPECT_EQ(
      decision.sizes[0].sentence,
      "a: stopped early after 1.00e11 FLOPs: its loss is 10.0 % above d at 1.00e10 and 20.0 % "
      "above d at 1.00e11");
}

TEST(StoppingTest, AStoredStopStaysWhateverTheRuleSaysNow) {
  std::vector<StoppingSize> sizes =
      Sizes({{2.8, 2.5, kOpen}, {3.0, 2.7, kOpen}, {2.9, 2.6, kOpen}, {2.9, 2.6, kOpen}});
  sizes[0].stopped_after = 1e11;
  const StoppingDecision decision = DecideStopping(Rule(3), sizes);
  EXPECT_TRUE(decision.done);
  EXPECT_THAT(Stopped(decision), ElementsAre("a"));
  EXPECT_FALSE(decision.sizes[0].stopped_now);
  EXPECT_EQ(decision.sizes[0].up_to, 1e11);
  EXPECT_THAT(decision.waits, IsEmpty());
}

// ---- with a law ---------------------------------------------------------------------------

constexpr fitting::AssumedLaw kLaw{1.6, 260, 750, 0.6, 0.5};
const std::vector<double> kParams = {2e3, 4e3, 8e3, 1.6e4, 3.2e4, 6.4e4, 1.28e5, 2.56e5};

double LossAt(double params, double tokens, uint64_t draw) {
  std::mt19937_64 random(draw * 7919 + static_cast<uint64_t>(params * 13 + tokens));
  return kLaw.Loss(params, tokens) * std::exp(0.002 * std::normal_distribution<double>()(random));
}

// Trains what is granted, a cell at a time in any order, until the decision is done and all granted
// cells are measured. Returns the budgets that each size was granted.
std::vector<int> Climb(const StoppingRule& rule, uint64_t draw, uint64_t order) {
  std::vector<StoppingSize> sizes;
  for (const double params : kParams) {
    sizes.push_back(Size(absl::StrCat(params), std::vector<double>(rule.budgets.size(), kOpen)));
  }
  std::mt19937_64 random(order);
  std::map<std::string, double> stopped;
  for (;;) {
    StoppingDecision decision = DecideStopping(rule, sizes);
    EXPECT_FALSE(decision.blocked);
    std::vector<std::pair<size_t, size_t>> open;
    for (size_t i = 0; i < sizes.size(); ++i) {
      // As the coordinator does: what is decided is stored.
      if (decision.sizes[i].stopped) sizes[i].stopped_after = decision.sizes[i].up_to;
      for (size_t b = 0; b < rule.budgets.size(); ++b) {
        if (rule.budgets[b] <= decision.sizes[i].up_to &&
            sizes[i].cells[b].state == CellState::kOpen) {
          open.emplace_back(i, b);
        }
      }
    }
    if (open.empty()) {
      EXPECT_TRUE(decision.done);
      return Granted(rule, decision);
    }
    const auto [i, b] = open[random() % open.size()];
    sizes[i].cells[b].state = CellState::kMeasured;
    sizes[i].cells[b].loss = LossAt(kParams[i], rule.budgets[b] / (6 * kParams[i]), draw);
  }
}

TEST(StoppingTest, TheOrderOfResultsChangesNothing) {
  StoppingRule rule;
  rule.budgets = {1e10, 3e10, 1e11, 3e11, 1e12, 3e12};
  std::set<std::vector<int>> outcomes;
  for (uint64_t order = 1; order <= 50; ++order) outcomes.insert(Climb(rule, 1, order));
  ASSERT_EQ(outcomes.size(), 1u);
  const std::vector<int>& granted = *outcomes.begin();
  EXPECT_LT(granted.front(), 6) << "nothing stopped: the test is too weak";
  EXPECT_TRUE(std::is_sorted(granted.begin(), granted.end()));
}

fitting::Observations Curves(const std::vector<double>& most_flops, uint64_t draw) {
  fitting::Observations observations;
  for (size_t i = 0; i < kParams.size(); ++i) {
    for (int k = 0;; ++k) {
      const double flops = 3e9 * std::pow(10, k / 20.0);
      if (flops > most_flops[i] * 1.0001) break;
      fitting::Observation point;
      point.params = kParams[i];
      point.tokens = flops / (6 * kParams[i]);
      point.flops = flops;
      point.loss = LossAt(point.params, point.tokens, draw);
      observations.Add(point, absl::StrCat(i));
    }
  }
  return observations;
}

// Laws of all kinds, every loss with an error: no size that stops is within the two sizes below the
// best at any later budget, where the frontier would read it.
TEST(StoppingTest, WhatStopsIsNeverReadAgain) {
  StoppingRule rule;
  for (int i = 0; i < 8; ++i) rule.budgets.push_back(1e10 * std::pow(4.0, i));
  std::mt19937_64 random(1);
  const auto between = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  int stopped = 0;
  for (int draw = 0; draw < 500; ++draw) {
    fitting::AssumedLaw law{between(0.5, 2), 0, 0, between(0.2, 0.9), between(0.2, 0.9)};
    // Optima of 4k to 64k parameters at the middle budgets.
    law.a_term = between(0.3, 3) * std::pow(2e4, law.alpha);
    const double tokens = rule.budgets[4] / (6 * 4e3 * std::pow(16.0, between(0, 1)));
    law.b_term = between(0.3, 3) * std::pow(tokens, law.beta);
    std::vector<StoppingSize> sizes;
    for (int i = 0; i < 10; ++i) {
      const double params = 1e3 * std::pow(2.0, i);
      std::vector<double> losses;
      for (const double flops : rule.budgets) {
        losses.push_back(law.Loss(params, flops / (6 * params)) *
                         std::exp(0.002 * std::normal_distribution<double>()(random)));
      }
      sizes.push_back(Size(absl::StrCat(i), losses));
    }
    const StoppingDecision decision = DecideStopping(rule, sizes);
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (!decision.sizes[i].stopped) continue;
      ++stopped;
      for (size_t b = 0; b < rule.budgets.size(); ++b) {
        if (rule.budgets[b] <= decision.sizes[i].up_to) continue;
        const auto best = std::min_element(sizes.begin(), sizes.end(),
                                           [&](const StoppingSize& one, const StoppingSize& other) {
                                             return one.cells[b].loss < other.cells[b].loss;
                                           });
        EXPECT_GT(best - sizes.begin(), static_cast<int64_t>(i) + 2)
            << "draw " << draw << ", size " << i << ", budget " << b;
      }
    }
  }
  EXPECT_GT(stopped, 500);
}

// What the rule rests on: the frontier reads five sizes around the best, so sizes that lie further
// below and stop are no part of any minimum.
TEST(StoppingTest, TheFrontierIsTheSameNumbers) {
  StoppingRule rule;
  rule.budgets = {1e10, 3e10, 1e11, 3e11, 1e12, 3e12};
  fitting::FitOptions options;
  options.method = fitting::Method::kFrontier;
  int stopped = 0;
  for (uint64_t draw = 1; draw <= 8; ++draw) {
    const std::vector<int> granted = Climb(rule, draw, draw);
    std::vector<double> whole(kParams.size(), rule.budgets.back()), kept;
    for (const int budgets : granted) {
      kept.push_back(rule.budgets[static_cast<size_t>(budgets) - 1]);
      stopped += budgets < 6;
    }
    const auto all = fitting::Fit(Curves(whole, draw), options);
    const auto part = fitting::Fit(Curves(kept, draw), options);
    ASSERT_TRUE(all.ok() && part.ok());
    ASSERT_FALSE(all->fits.empty() || part->fits.empty());
    const fitting::Estimate* a = all->fits.front().Find("a");
    const fitting::Estimate* b = part->fits.front().Find("a");
    ASSERT_TRUE(a != nullptr && b != nullptr);
    // But for the rounding of sums over other points.
    EXPECT_NEAR(*a->estimate, *b->estimate, 1e-12) << "draw " << draw;
  }
  EXPECT_GT(stopped, 8);
}

}  // namespace
}  // namespace allometry::stages
