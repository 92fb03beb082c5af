#include "coordinator/results/pixel_columns.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::coordinator {
namespace {

using ::testing::ElementsAre;

// For each column, the lowest and the highest of what was kept are those of the whole curve.
void ExpectSamePixels(const PixelColumns& columns, const std::vector<double>& x,
                      const std::vector<double>& y) {
  CurveSampler sampler(columns);
  std::map<int, std::pair<double, double>> whole, kept;
  const auto note = [&](std::map<int, std::pair<double, double>>& of, double at, double value) {
    const int column = columns.Of(at);
    if (column < 0 || !std::isfinite(value)) return;
    auto [found, is_new] = of.try_emplace(column, value, value);
    found->second.first = std::min(found->second.first, value);
    found->second.second = std::max(found->second.second, value);
  };
  for (size_t i = 0; i < x.size(); ++i) {
    sampler.Add(x[i], y[i]);
    note(whole, x[i], y[i]);
  }
  sampler.Finish();
  for (size_t i = 0; i < sampler.x().size(); ++i) note(kept, sampler.x()[i], sampler.y()[i]);
  EXPECT_EQ(kept, whole);
  EXPECT_TRUE(std::is_sorted(sampler.x().begin(), sampler.x().end()));
  EXPECT_LE(sampler.x().size(), static_cast<size_t>(2 * columns.count + 2));
}

TEST(PixelColumnsTest, LowestAndHighestOfEachColumnAreKept) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> noise;
  for (const bool log : {false, true}) {
    for (const int points : {1, 2, 3, 50, 20'000}) {
      std::vector<double> x, y;
      for (int i = 0; i < points; ++i) {
        x.push_back(1 + i);
        y.push_back(i % 97 == 5 ? std::numeric_limits<double>::quiet_NaN()
                                : 3 + 10 / std::sqrt(1 + i) + 0.1 * noise(random));
      }
      ExpectSamePixels({.from = 1, .to = x.back(), .count = 100, .log = log}, x, y);
      ExpectSamePixels({.from = 5, .to = 5000, .count = 64, .log = log}, x, y);
    }
  }
}

TEST(PixelColumnsTest, TheEndsOfACurveAreKept) {
  CurveSampler sampler({.from = 0, .to = 10, .count = 1});
  for (const auto& [x, y] :
       std::vector<std::pair<double, double>>{{0, 2}, {1, 5}, {2, 1}, {3, 4}, {4, 3}}) {
    sampler.Add(x, y);
  }
  sampler.Finish();
  EXPECT_THAT(sampler.x(), ElementsAre(0, 1, 2, 4));
  EXPECT_THAT(sampler.y(), ElementsAre(2, 5, 1, 3));
  EXPECT_EQ(sampler.points(), 5);
}

TEST(PixelColumnsTest, AnAxisOfOnePointHasAColumn) {
  const PixelColumns columns{.from = 4, .to = 4, .count = 10, .log = true};
  EXPECT_EQ(columns.Of(4), 0);
  EXPECT_EQ(columns.Of(3.9), -1);
  EXPECT_EQ(columns.Of(std::numeric_limits<double>::quiet_NaN()), -1);
}

TEST(FrontierTest, IsTheLeastOfAllRunsSoFar) {
  Frontier frontier({.from = 1, .to = 1000, .count = 3, .log = true});
  frontier.Add(1, 2, 5.0);
  frontier.Add(2, 3, 4.0);
  frontier.Add(2, 30, 4.5);  // above what there was
  frontier.Add(1, 300, 3.0);
  frontier.Add(2, 400, std::numeric_limits<double>::infinity());
  std::vector<std::pair<double, int64_t>> points;
  for (const Frontier::Point& point : frontier.Points()) points.push_back({point.y, point.run_id});
  EXPECT_THAT(points, ElementsAre(std::pair(4.0, 2), std::pair(3.0, 1)));
}

}  // namespace
}  // namespace allometry::coordinator
