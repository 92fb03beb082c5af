#include "fitting/solve/statistics.h"

#include <cmath>

#include "gtest/gtest.h"

namespace allometry::fitting {
namespace {

// Tables of Student's t, two-sided 95 %, and exact values for 1 and 2 degrees of freedom.
TEST(StatisticsTest, StudentQuantileMatchesTables) {
  EXPECT_NEAR(StudentQuantile(0.975, 1), 12.706204736432095, 1e-9);
  EXPECT_NEAR(StudentQuantile(0.975, 2), 4.302652729696142, 1e-10);
  EXPECT_NEAR(StudentQuantile(0.975, 10), 2.228138851964939, 1e-10);
  EXPECT_NEAR(StudentQuantile(0.975, 1e7), 1.959964, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.025, 4), -StudentQuantile(0.975, 4), 1e-12);
}

TEST(StatisticsTest, StudentCdfInvertsQuantileAtRealDegreesOfFreedom) {
  for (double df : {0.7, 1.0, 3.5, 19.8, 240.0}) {
    for (double p : {0.01, 0.3, 0.5, 0.9, 0.999}) {
      EXPECT_NEAR(StudentCdf(StudentQuantile(p, df), df), p, 1e-12) << df;
    }
  }
}

TEST(StatisticsTest, StreamsOfOneSeedDifferAndRepeat) {
  Random first(7, 0), again(7, 0), second(7, 1);
  int same = 0;
  for (int i = 0; i < 100; ++i) {
    const uint64_t value = first.Next();
    EXPECT_EQ(value, again.Next());
    same += value == second.Next();
  }
  EXPECT_EQ(same, 0);
}

TEST(StatisticsTest, BelowIsUniform) {
  Random random(1, 2);
  std::vector<int> count(7, 0);
  for (int i = 0; i < 70000; ++i) ++count[random.Below(7)];
  for (int c : count) EXPECT_NEAR(c, 10000, 5 * std::sqrt(10000.0));
}

TEST(StatisticsTest, NormalHasUnitVarianceAndTails) {
  Random random(3, 4);
  double sum = 0, squares = 0;
  int beyond = 0;
  for (int i = 0; i < 100000; ++i) {
    const double z = random.Normal();
    sum += z, squares += z * z, beyond += std::abs(z) > 1.959964;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.015);
  EXPECT_NEAR(squares / 1e5, 1, 0.02);
  EXPECT_NEAR(beyond / 1e5, 0.05, 0.004);
}

TEST(StatisticsTest, QuantileInterpolatesBetweenOrderStatistics) {
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 3, 2}, 1), 4);
  EXPECT_DOUBLE_EQ(Median({5}), 5);
}

TEST(StatisticsTest, IntraclassCorrelationIsOneForSharedAndNearZeroForOwnErrors) {
  Random random(5, 6);
  std::vector<double> shared, own;
  std::vector<int> cluster;
  for (int c = 0; c < 200; ++c) {
    const double shift = random.Normal();
    for (int i = 0; i < 5; ++i) {
      shared.push_back(shift);
      own.push_back(random.Normal());
      cluster.push_back(c);
    }
  }
  EXPECT_NEAR(IntraclassCorrelation(shared, cluster, 200), 1, 1e-12);
  EXPECT_NEAR(IntraclassCorrelation(own, cluster, 200), 0, 0.08);
}

}  // namespace
}  // namespace allometry::fitting
