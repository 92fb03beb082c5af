// TARGETS row 15: the regime classifier on families of known shape.
#include "fitting/report/regime.h"

#include <cmath>

#include "fitting/solve/statistics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::fitting {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kDeviation = 0.01;  // of a seed

// Six sizes a factor of three apart, `seeds` losses each about `shape` (in units of `step`).
std::vector<SizeLosses> Draw(const std::vector<double>& shape, double step, int seeds,
                             uint64_t seed) {
  Random random(seed, 0);
  std::vector<SizeLosses> sizes;
  for (size_t i = 0; i < shape.size(); ++i) {
    SizeLosses& size = sizes.emplace_back();
    size.params = 1e4 * std::pow(3.0, static_cast<double>(i));
    for (int k = 0; k < seeds; ++k) {
      size.losses.push_back(1 + step * shape[i] + kDeviation * random.Normal());
    }
  }
  return sizes;
}

struct Family {
  const char* name;
  std::vector<double> shape;  // a unit is a signal of SNR times the standard error of a mean
  Regime regime;
};
const Family kFamilies[] = {
    {"monotone", {5, 4, 3, 2, 1, 0}, Regime::kMonotone},
    {"U", {3, 2, 1, 0, 1, 2}, Regime::kClassical},
    {"double descent", {4, 2, 0, 2, 0, -2}, Regime::kDoubleDescent},
};

// Steps of three seed deviations: SNR 3.
TEST(RegimeTest, ConfusesAtMostFivePercentAtSnrThree) {
  constexpr int kSeeds = 5, kTrials = 400;
  for (const Family& family : kFamilies) {
    int wrong = 0, elsewhere = 0;
    for (int trial = 0; trial < kTrials; ++trial) {
      const auto report =
          ClassifyRegime(Draw(family.shape, 3 * kDeviation, kSeeds, 100 + trial), 1, 200);
      ASSERT_OK(report.status());
      wrong += report->regime != family.regime;
      elsewhere += report->regime != family.regime && report->regime != Regime::kUndetermined;
    }
    EXPECT_LE(wrong, kTrials / 20) << family.name;
    EXPECT_LE(elsewhere, kTrials / 20) << family.name;
  }
}

TEST(RegimeTest, FlatIsUndetermined) {
  constexpr int kTrials = 400;
  int named = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const auto report = ClassifyRegime(Draw({0, 0, 0, 0, 0, 0}, 0, 5, 7000 + trial), 1, 200);
    ASSERT_OK(report.status());
    named += report->regime != Regime::kUndetermined;
  }
  EXPECT_LE(named, kTrials / 10);
}

TEST(RegimeTest, SaysWhyAndTheWorstRise) {
  const std::vector<SizeLosses> sizes = {
      {4e4, {0.9, 1.1}}, {1e4, {2.0, 2.2}}, {9e4, {1.5, 1.7}}};  // unsorted
  ASSERT_OK_AND_ASSIGN(const RegimeReport report, ClassifyRegime(sizes));
  EXPECT_EQ(report.regime, Regime::kClassical);
  EXPECT_THAT(report.reason, HasSubstr("best at N = 4e+04"));
  EXPECT_THAT(report.means,
              ElementsAre(DoubleNear(2.1, 1e-12), DoubleNear(1.0, 1e-12), DoubleNear(1.6, 1e-12)));
  EXPECT_NEAR(report.seed_deviation, std::sqrt(0.02), 1e-12);
  EXPECT_NEAR(*report.worst_rise.estimate, 0.6, 1e-12);
  EXPECT_NEAR(*report.worst_rise.lower, 0.4, 1e-12);
  EXPECT_NEAR(*report.worst_rise.upper, 0.8, 1e-12);
  ASSERT_OK_AND_ASSIGN(const RegimeReport again, ClassifyRegime(sizes));
  EXPECT_EQ(again.rise_probability, report.rise_probability);
}

TEST(RegimeTest, ClearRiseIsNeverMonotone) {
  for (int trial = 0; trial < 200; ++trial) {
    const auto report =
        ClassifyRegime(Draw({5, 4, 3, 4.5, 2, 1}, 5 * kDeviation, 3, 300 + trial), 1, 200);
    ASSERT_OK(report.status());
    EXPECT_NE(report->regime, Regime::kMonotone);
  }
}

TEST(RegimeTest, RefusesWhatCannotBeJudged) {
  EXPECT_THAT(ClassifyRegime({{1e4, {1, 2}}, {2e4, {1, 2}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("three")));
  EXPECT_THAT(ClassifyRegime({{1e4, {1}}, {2e4, {1}}, {4e4, {1}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one seed")));
  EXPECT_THAT(ClassifyRegime({{1e4, {1, NAN}}, {2e4, {1}}, {4e4, {1}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not finite")));
}

}  // namespace
}  // namespace allometry::fitting
