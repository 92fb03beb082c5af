#include "metrics/mean.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "metrics/agreement.h"

namespace allometry::metrics {
namespace {

// t(3) = 3.182446, s = 1.290994.
TEST(MeanTest, TheIntervalIsStudents) {
  const double values[] = {1, 2, 3, 4};
  const Mean mean = MeanOf(values);
  EXPECT_DOUBLE_EQ(mean.mean, 2.5);
  EXPECT_EQ(mean.values, 4);
  EXPECT_NEAR(*mean.high - mean.mean, 3.182446 * std::sqrt(5.0 / 3) / 2, 1e-6);
  EXPECT_NEAR(mean.mean - *mean.low, *mean.high - mean.mean, 1e-12);
}

TEST(MeanTest, OneValueHasNoInterval) {
  const double value[] = {7};
  const Mean mean = MeanOf(value);
  EXPECT_EQ(mean.mean, 7);
  EXPECT_FALSE(mean.low);
  EXPECT_FALSE(mean.high);
}

TEST(CosineDistanceTest, IsOneLessTheCosine) {
  const std::vector<float> right = {2, 0}, up = {0, 3}, both = {1, 1}, none = {0, 0};
  EXPECT_NEAR(CosineDistance(right, right), 0, 1e-12);
  EXPECT_NEAR(CosineDistance(right, up), 1, 1e-12);
  EXPECT_NEAR(CosineDistance(right, both), 1 - std::sqrt(0.5), 1e-7);
  EXPECT_NEAR(CosineDistance(right, std::vector<float>{-1, 0}), 2, 1e-12);
  EXPECT_EQ(CosineDistance(none, none), 0);
  EXPECT_EQ(CosineDistance(none, up), 1);
}

}  // namespace
}  // namespace allometry::metrics
