#include "fitting/report/verdict.h"

#include <cmath>

#include "fitting/report/plateau.h"
#include "fitting/solve/statistics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::fitting {
namespace {

using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(VerdictTest, IntervalAgainstBandByTable) {
  const Band band{0.4, 0.95};
  struct {
    Estimate ours;
    Verdict verdict;
    const char* reason;
  } const kRows[] = {
      {{0.56, 0.47, 0.65, {}}, Verdict::kWithin, "whole interval is in"},
      {{0.4, 0.4, 0.95, {}}, Verdict::kWithin, "whole interval is in"},
      {{0.56, 0.30, 0.65, {}}, Verdict::kUndetermined, "reaches below 0.4"},
      {{0.56, 0.47, 1.65, {}}, Verdict::kUndetermined, "reaches above 0.95"},
      {{0.35, 0.30, 0.45, {}}, Verdict::kUndetermined, "0.35 is out of the band"},
      {{0.20, 0.10, 0.39, {}}, Verdict::kOutside, "below 0.4"},
      {{1.20, 0.96, 1.39, {}}, Verdict::kOutside, "above 0.95"},
      {{0.56, {}, {}, {}}, Verdict::kUndetermined, "no interval"},
      {{{}, {}, {}, {}}, Verdict::kUndetermined, "no estimate"},
  };
  for (const auto& row : kRows) {
    const Judged judged = Judge(row.ours, std::nullopt, band);
    EXPECT_EQ(judged.verdict, row.verdict) << row.reason << ": " << judged.reason;
    EXPECT_THAT(judged.reason, HasSubstr(row.reason));
  }
}

TEST(VerdictTest, ARefusedFitIsUndeterminedWhateverItsNumber) {
  const Judged judged = Judge({0.56, 0.5, 0.6, {}}, "bound active: alpha", {0.4, 0.95});
  EXPECT_EQ(judged.verdict, Verdict::kUndetermined);
  EXPECT_THAT(judged.reason, HasSubstr("bound active: alpha"));
}

TEST(VerdictTest, OpenBandsHaveOneEdge) {
  EXPECT_EQ(Judge({0.1, -2.0, 0.19, {}}, std::nullopt, {-kInfinity, 0.2}).verdict,
            Verdict::kWithin);
  EXPECT_EQ(Judge({0.4, 0.35, 0.6, {}}, std::nullopt, {0.3, kInfinity}).verdict, Verdict::kWithin);
}

TEST(CombinationTest, DifferenceKeepsAsymmetry) {
  const Estimate x{0.6, 0.5, 0.9, {}}, y{0.2, 0.16, 0.4, {}};
  const Estimate difference = Minus(x, y);
  EXPECT_NEAR(*difference.estimate, 0.4, 1e-12);
  EXPECT_NEAR(*difference.lower, 0.4 - std::hypot(0.1, 0.2), 1e-12);
  EXPECT_NEAR(*difference.upper, 0.4 + std::hypot(0.3, 0.04), 1e-12);
  EXPECT_FALSE(Minus(x, {0.2, {}, {}, {}}).lower);
  EXPECT_FALSE(Minus(x, {}).estimate);
}

TEST(CombinationTest, DifferenceOfNormalsCoversAsOftenAsItSays) {
  Random random(3, 0);
  int covered = 0;
  constexpr int kTrials = 2000;
  for (int i = 0; i < kTrials; ++i) {
    const double x = 1 + 0.1 * random.Normal(), y = 0.5 + 0.3 * random.Normal();
    const Estimate difference = Minus({x, x - 0.196, x + 0.196, {}}, {y, y - 0.588, y + 0.588, {}});
    covered += *difference.lower <= 0.5 && 0.5 <= *difference.upper;
  }
  EXPECT_NEAR(covered / static_cast<double>(kTrials), 0.95, 0.02);
}

TEST(CombinationTest, RatioIsADifferenceOfLogarithms) {
  const Estimate ratio = Over({8, 4, 16, {}}, {2, 1, 4, {}});
  EXPECT_NEAR(*ratio.estimate, 4, 1e-12);
  EXPECT_NEAR(*ratio.lower, 4 / std::exp(std::sqrt(2) * std::log(2)), 1e-12);
  EXPECT_NEAR(*ratio.upper, 4 * std::exp(std::sqrt(2) * std::log(2)), 1e-12);
  EXPECT_FALSE(Over({-1, {}, {}, {}}, {2, {}, {}, {}}).estimate);
  EXPECT_FALSE(Over({1, -1, 2, {}}, {2, 1, 3, {}}).lower);
}

// Loss 1 + 1 / tokens of each curve, until `end` tokens.
void AddCurve(const std::string& name, double params, double end, Observations& all) {
  for (double tokens = 1; tokens <= end; tokens *= 1.1) {
    Observation point;
    point.params = params;
    point.tokens = tokens;
    point.loss = 1 + 1 / tokens;
    all.Add(point, name, name);
  }
}

TEST(PlateauTest, FindsWhereACurveComesWithinTwoPercentOfItsEnd) {
  Observations curves;
  AddCurve("a", 10, 1000, curves);
  AddCurve("b", 20, 1000, curves);
  AddCurve("c", 40, 1000, curves);
  const Plateau plateau = FindPlateau(curves, {});
  ASSERT_EQ(plateau.curves.size(), 3u);
  EXPECT_EQ(plateau.note, "");
  for (const CurvePlateau& one : plateau.curves) {
    EXPECT_FALSE(one.still_falling);
    EXPECT_NEAR(one.plateau, 1.0012, 1e-3);
    // 1 + 1 / D = 1.02 * 1.0012 at D = 47; the grid is a tenth apart.
    EXPECT_NEAR(one.flops / (6 * one.params), 49, 5);
  }
  EXPECT_NEAR(*plateau.flops.estimate, plateau.curves[1].flops, 1e-6 * plateau.curves[1].flops);
  EXPECT_LT(*plateau.flops.lower, *plateau.flops.estimate);
  EXPECT_NEAR(*FindPlateau(curves, {"c"}).flops.estimate, plateau.curves[2].flops, 1e-6);
}

TEST(PlateauTest, SaysWhichCurvesStillFall) {
  Observations curves;
  AddCurve("early", 10, 8, curves);
  AddCurve("late", 10, 1000, curves);
  AddCurve("short", 10, 1.2, curves);
  const Plateau plateau = FindPlateau(curves, {});
  ASSERT_EQ(plateau.curves.size(), 2u);
  EXPECT_THAT(plateau.note, HasSubstr("still falling at the end, a lower bound: early"));
  EXPECT_THAT(plateau.note, HasSubstr("too short: short"));
  EXPECT_FALSE(FindPlateau(curves, {"none"}).flops.estimate);
}

}  // namespace
}  // namespace allometry::fitting
