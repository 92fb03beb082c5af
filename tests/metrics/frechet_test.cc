#include "metrics/frechet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "metrics/agreement.h"

namespace allometry::metrics {
namespace {

// `features` independent normal numbers a sample, with the given mean and deviation of each.
std::vector<float> Normals(int64_t count, const std::vector<double>& means,
                           const std::vector<double>& deviations, int seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < means.size(); ++j) {
      values.push_back(static_cast<float>(means[j] + deviations[j] * normal(random)));
    }
  }
  return values;
}

// In whitened coordinates the real set is N(0, I): independent features give
// sum of (m_j / s_j)^2 + (1 - t_j / s_j)^2.
TEST(FrechetTest, TwoGaussiansWithKnownMomentsAreWithinTwoPercent) {
  constexpr int64_t kCount = 200'000;
  const std::vector<double> means = {1, -2, 0.5}, deviations = {1, 3, 0.2};
  const std::vector<double> moved = {2, 1, 0.5}, wider = {2, 3, 0.5};
  const std::vector<float> real = Normals(kCount, means, deviations, 1);
  const std::vector<float> other = Normals(kCount, moved, wider, 2);
  double expected = 0;
  for (size_t j = 0; j < means.size(); ++j) {
    expected += std::pow((moved[j] - means[j]) / deviations[j], 2) +
                std::pow(1 - wider[j] / deviations[j], 2);
  }
  const auto distance = FrechetDistance::From({real, kCount, 3});
  ASSERT_TRUE(distance.ok()) << distance.status();
  EXPECT_EQ(distance->components(), 3);
  EXPECT_NEAR(*distance->To({other, kCount, 3}), expected, 0.02 * expected);
  EXPECT_NEAR(*distance->To({real, kCount, 3}), 0, 1e-9);
}

TEST(FrechetTest, TheFloorFallsAsOneOverTheSamples) {
  const std::vector<double> means(4, 0.0), deviations(4, 1.0);
  const auto floor = [&](int64_t count) {
    double sum = 0;
    constexpr int kRepeats = 40;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      const std::vector<float> a = Normals(count, means, deviations, 10 + 2 * repeat);
      const std::vector<float> b = Normals(count, means, deviations, 11 + 2 * repeat);
      sum += *FrechetDistance::From({a, count, 4})->To({b, count, 4});
    }
    return sum / kRepeats;
  };
  const double few = floor(500), many = floor(4000);
  EXPECT_GT(few, 0);
  EXPECT_NEAR(few / many, 8, 2);
}

TEST(FrechetTest, FeaturesThatAreDeadInTheRealSetAreDropped) {
  std::vector<float> real = Normals(1000, {0, 5}, {1, 0}, 1);
  std::vector<float> other = Normals(1000, {0, 0}, {1, 100}, 1);
  const auto distance = FrechetDistance::From({real, 1000, 2});
  ASSERT_TRUE(distance.ok());
  EXPECT_EQ(distance->components(), 1);
  EXPECT_LT(*distance->To({other, 1000, 2}), 0.05);
}

TEST(FrechetTest, ComponentsAreAsManyAsTheSamplesCarry) {
  const std::vector<double> means(20, 0.0), deviations(20, 1.0);
  const std::vector<float> real = Normals(5000, means, deviations, 1);
  EXPECT_EQ(FrechetDistance::From({real, 5000, 20})->components(), 16);
  EXPECT_EQ(FrechetDistance::From({std::span(real).first(20 * 350), 350, 20})->components(), 3);
}

TEST(FrechetTest, WhatCannotBeComparedIsRefusedWithTheNumbers) {
  const std::vector<float> few(2 * 99, 1.0f);
  EXPECT_EQ(FrechetDistance::From({few, 99, 2}).status().message(),
            "a Fréchet distance of 99 samples: at least 100 are needed");
  const std::vector<float> constant(2 * 200, 1.0f);
  EXPECT_TRUE(absl::IsFailedPrecondition(FrechetDistance::From({constant, 200, 2}).status()));
  std::vector<float> real = Normals(200, {0, 0}, {1, 1}, 1);
  const auto distance = FrechetDistance::From({real, 200, 2});
  EXPECT_TRUE(absl::IsInvalidArgument(distance->To({real, 400, 1}).status()));
  real[7] = NAN;
  EXPECT_EQ(distance->To({real, 200, 2}).status().message(), "feature 1 of sample 3 is nan");
}

TEST(ShareEqualTest, IsTheShareOfEqualPlaces) {
  EXPECT_EQ(ShareEqual(std::vector<int32_t>{1, 2, 3, 4}, std::vector<int32_t>{1, 0, 3, 0}), 0.5);
  EXPECT_EQ(ShareEqual({}, {}), 0);
}

}  // namespace
}  // namespace allometry::metrics
