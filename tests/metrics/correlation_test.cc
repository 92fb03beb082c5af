#include "metrics/correlation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace allometry::metrics {
namespace {

TEST(CorrelationTest, PearsonAndSpearmanOfKnownNumbers) {
  // Anscombe's first set (1973): r = 0.8164.
  const double x[] = {10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5};
  const double y[] = {8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68};
  std::vector<Point> points;
  for (int i = 0; i < 11; ++i) points.push_back({x[i], y[i], i % 4});
  EXPECT_NEAR(Correlate(points, CorrelationKind::kPearson)->r, 0.81642, 1e-5);
  EXPECT_NEAR(Correlate(points, CorrelationKind::kSpearman)->r, 0.81818, 1e-5);
}

TEST(CorrelationTest, TiesShareTheirMeanRank) {
  // Ranks of y: 1.5, 1.5, 3, 4; of x: 1, 2, 3, 4.
  const std::vector<Point> points = {{1, 5, 0}, {2, 5, 0}, {3, 6, 1}, {4, 9, 1}};
  EXPECT_NEAR(Correlate(points, CorrelationKind::kSpearman)->r, 4.5 / std::sqrt(5 * 4.5), 1e-12);
}

TEST(CorrelationTest, TheIntervalLeavesOutWholeGroups) {
  std::vector<Point> points;
  // Three sizes whose curves lie on one line, each with many points.
  for (int size = 0; size < 3; ++size) {
    for (int i = 0; i < 20; ++i) {
      const double loss = 1 + 0.1 * i + 0.3 * size;
      points.push_back({loss, -2 * loss + 0.01 * ((i + size) % 3), size});
    }
  }
  const auto close = *Correlate(points, CorrelationKind::kPearson);
  EXPECT_EQ(close.groups, 3);
  ASSERT_TRUE(close.low.has_value());
  EXPECT_LE(*close.low, close.r);
  EXPECT_GE(*close.high, close.r);
  EXPECT_LT(*close.high, -0.99);
  // One size that goes the other way: sixty points say much, three sizes little.
  for (Point& point : points) {
    if (point.group == 2) point.y = 2 * point.x - 8;
  }
  const auto torn = *Correlate(points, CorrelationKind::kPearson);
  EXPECT_LT(*torn.low, 0);
  EXPECT_GT(*torn.high, 0);
}

// Independent points as groups: the interval covers the true correlation about as often as it says.
TEST(CorrelationTest, TheIntervalCoversWhatItSays) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  constexpr double kRho = 0.7;
  constexpr int kTrials = 400;
  int covered = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<Point> points;
    for (int i = 0; i < 30; ++i) {
      const double a = normal(random), b = normal(random);
      points.push_back({a, kRho * a + std::sqrt(1 - kRho * kRho) * b, i});
    }
    const auto found = *Correlate(points, CorrelationKind::kPearson);
    covered += *found.low <= kRho && kRho <= *found.high;
  }
  EXPECT_NEAR(covered / static_cast<double>(kTrials), 0.95, 0.03);
}

TEST(CorrelationTest, WhatHasNoIntervalOrNoCorrelationSaysWhy) {
  const std::vector<Point> two_groups = {{1, 1, 0}, {2, 3, 0}, {3, 2, 1}};
  const auto found = *Correlate(two_groups, CorrelationKind::kPearson);
  EXPECT_FALSE(found.low.has_value());
  EXPECT_EQ(found.why_none, "no interval: 2 groups, at least 3 are needed");
  const std::vector<Point> flat = {{1, 1, 0}, {2, 1, 1}, {3, 1, 2}};
  EXPECT_TRUE(absl::IsFailedPrecondition(Correlate(flat, CorrelationKind::kPearson).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      Correlate(std::vector<Point>{{1, 1, 0}}, CorrelationKind::kPearson).status()));
  const std::vector<Point> broken = {{1, NAN, 0}, {2, 1, 1}, {3, 1, 2}};
  EXPECT_TRUE(absl::IsInvalidArgument(Correlate(broken, CorrelationKind::kPearson).status()));
}

}  // namespace
}  // namespace allometry::metrics
