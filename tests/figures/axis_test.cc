#include "figures/axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace allometry::figures {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Labels(const Axis& axis) {
  std::vector<std::string> labels;
  for (const Tick& tick : axis.Ticks()) {
    if (!tick.label.empty()) {
      labels.push_back(tick.raised.empty() ? tick.label : tick.label + "^" + tick.raised);
    }
  }
  return labels;
}

Axis Over(double low, double high, Unit unit, bool log) {
  Axis axis("", unit, log);
  axis.Cover(low);
  axis.Cover(high);
  axis.Settle(0);
  return axis;
}

TEST(CountTextTest, RoundsToDigitsAndNeverWritesAnExponent) {
  EXPECT_EQ(CountText(4944), "4.94k");
  EXPECT_EQ(CountText(190e3, 2), "190k");
  EXPECT_EQ(CountText(193e3, 2), "190k");
  EXPECT_EQ(CountText(51.1e9), "51.1B");
  EXPECT_EQ(CountText(999.6e3), "1M");
  EXPECT_EQ(CountText(7), "7");
  EXPECT_EQ(CountText(2e15), "2000T");
}

TEST(RoundNumbersTest, AreMultiplesOfOneTwoOrFive) {
  EXPECT_THAT(RoundNumbers(0, 1, 5),
              ElementsAre(0, 0.2, 0.4, ::testing::DoubleNear(0.6, 1e-12), 0.8, 1));
  EXPECT_THAT(RoundNumbers(1.97, 2.61, 3), ElementsAre(2, ::testing::DoubleNear(2.5, 1e-12)));
  EXPECT_TRUE(RoundNumbers(1, 1, 5).empty());
  EXPECT_TRUE(RoundNumbers(2, 1, 5).empty());
}

TEST(AxisTest, LabelsDecadesOfFlopsAndSizesByUnit) {
  EXPECT_THAT(Labels(Over(1e18, 1e21, Unit::kFlops, true)),
              ElementsAre("10^18", "10^19", "10^20", "10^21"));
  EXPECT_THAT(Labels(Over(3e3, 6e4, Unit::kCount, true)), ElementsAre("5k", "10k", "20k", "50k"));
  EXPECT_THAT(Labels(Over(1.9, 2.6, Unit::kPlain, true)), ElementsAre("2.0", "2.2", "2.4", "2.6"));
}

TEST(AxisTest, AtMostEightDecadesAreLabelledOverAnyRange) {
  for (const double high : {1e2, 1e9, 1e30, 1e200}) {
    const size_t count = Labels(Over(1, high, Unit::kFlops, true)).size();
    EXPECT_GE(count, 2u) << high;
    EXPECT_LE(count, 8u) << high;
  }
}

TEST(AxisTest, LeavesOutWhatItCannotShow) {
  Axis axis("", Unit::kPlain, true);
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    axis.Cover(bad);
    EXPECT_FALSE(axis.Shows(bad));
  }
  EXPECT_FALSE(axis.covered());
  axis.Settle();
  EXPECT_FALSE(axis.Ticks().empty());
  EXPECT_GT(axis.Share(1), 0);
  EXPECT_LT(axis.Share(1), 1);
}

TEST(AxisTest, OneValueHasAnAxisAboutIt) {
  for (const bool log : {false, true}) {
    const Axis axis = Over(2.5, 2.5, Unit::kPlain, log);
    EXPECT_LT(axis.low(), 2.5);
    EXPECT_GT(axis.high(), 2.5);
    EXPECT_NEAR(axis.Share(2.5), 0.5, 1e-9);
  }
}

}  // namespace
}  // namespace allometry::figures
