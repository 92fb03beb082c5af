// TARGETS row 6: the extrapolation procedure on sweeps whose truth is known.
#include "fitting/report/extrapolation.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/testing/status_matchers.h"

namespace allometry::fitting {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Nine sizes whose labels are "s0" to "s8"; the loss of the last is multiplied by `handicap`.
Observations Labelled(uint64_t seed, double handicap = 1) {
  const Observations curves = CurveSweep(seed, 9, 80);
  Observations labelled;
  for (Observation point : curves.points()) {
    const std::string run = curves.runs()[point.run];
    if (run == "8") point.loss *= handicap;
    labelled.Add(point, run, "s" + run);
  }
  return labelled;
}

FitReport WithheldFit(const Observations& sweep, Method method = Method::kAll) {
  FitOptions options;
  options.method = method;
  options.resamples = 60;
  options.withhold = {"s8"};
  auto report = Fit(sweep, options);
  EXPECT_OK(report.status());
  return *std::move(report);
}

TEST(ExtrapolationTest, AWithheldModelLiesWhereTheSmallerOnesSay) {
  const FitReport report = WithheldFit(Labelled(1));
  EXPECT_EQ(report.used, 8 * 80);
  EXPECT_EQ(report.total, 9 * 80);
  ASSERT_EQ(report.extrapolations.size(), 3u);  // parametric, frontier, isoflop
  for (const Extrapolation& one : report.extrapolations) {
    EXPECT_EQ(one.family, "s8");
    EXPECT_EQ(one.params, 1e9);
    EXPECT_TRUE(one.turns) << Name(one.method);
    // The line of loss against compute is a fit over 1.4 decades, and knows it.
    EXPECT_LE(*one.loss_gap.lower, 0) << Name(one.method);
    EXPECT_GE(*one.loss_gap.upper, 0) << Name(one.method);
    EXPECT_LE(std::abs(*one.log10_params.estimate), 0.15) << Name(one.method);
    EXPECT_FALSE(one.above_line()) << Name(one.method);
  }
  EXPECT_NEAR(*report.extrapolations[0].loss_gap.estimate, 0, 0.02);
}

// The noise of one curve moves its touch by a tenth of a decade; the intervals know.
TEST(ExtrapolationTest, RatiosAreCentredAndTheirIntervalsCover) {
  constexpr int kSweeps = 40;
  double params = 0, tokens = 0, gap = 0;
  int covered = 0;
  for (int seed = 1; seed <= kSweeps; ++seed) {
    const FitReport report = WithheldFit(Labelled(seed), Method::kParametric);
    ASSERT_EQ(report.extrapolations.size(), 1u);
    const Extrapolation& one = report.extrapolations[0];
    params += *one.log10_params.estimate / kSweeps;
    tokens += *one.log10_tokens.estimate / kSweeps;
    gap += *one.loss_gap.estimate / kSweeps;
    covered += *one.log10_params.lower <= 0 && 0 <= *one.log10_params.upper;
  }
  EXPECT_LE(std::abs(params), 0.05);
  EXPECT_LE(std::abs(tokens), 0.05);
  EXPECT_LE(std::abs(gap), 0.003);
  EXPECT_GE(covered, 34);  // fewer of 40 at 95 %: a chance of 0.5 %
}

// Stopped before its touch, a curve's closest point is its end, whatever the fit.
TEST(ExtrapolationTest, ACurveThatEndsEarlyGivesBounds) {
  const Observations sweep = Labelled(1);
  Observations cut;
  for (const Observation& point : sweep.points()) {
    if (point.params == 1e9 && point.tokens > 3e9) continue;
    cut.Add(point, sweep.runs()[point.run], sweep.families()[point.family]);
  }
  const FitReport report = WithheldFit(cut, Method::kParametric);
  ASSERT_EQ(report.extrapolations.size(), 1u);
  EXPECT_FALSE(report.extrapolations[0].turns);
  EXPECT_THAT(ReportText(report), HasSubstr("does not turn away"));
}

TEST(ExtrapolationTest, AnExactLawIsMetExactly) {
  const Truth truth;
  Observations sweep;
  for (int k = 0; k < 7; ++k) {
    for (int i = 0; i < 200; ++i) {
      Observation point;
      point.params = 1e7 * std::pow(2.5, k);
      point.tokens = point.params * std::pow(400.0, i / 199.0);
      point.loss = truth.Loss(point.params, point.tokens);
      sweep.Add(point, std::to_string(k), "s" + std::to_string(k == 6 ? 8 : k));
    }
  }
  const FitReport report = WithheldFit(sweep, Method::kParametric);
  ASSERT_EQ(report.extrapolations.size(), 1u);
  // The grid of the curve is 0.013 apart in log10; the loss at its closest point is flat there.
  EXPECT_NEAR(*report.extrapolations[0].loss_gap.estimate, 0, 1e-4);
  EXPECT_NEAR(*report.extrapolations[0].log10_params.estimate, 0, 0.02);
}

TEST(ExtrapolationTest, ARunTrainedBadlyIsAboveThePredictedLoss) {
  const FitReport report = WithheldFit(Labelled(1, 1.08), Method::kParametric);
  ASSERT_EQ(report.extrapolations.size(), 1u);
  EXPECT_TRUE(report.extrapolations[0].above_line());
  EXPECT_THAT(ReportText(report), HasSubstr("s8 lies above the predicted loss"));
  EXPECT_THAT(ReportJson(report), HasSubstr("\"above_line\": true"));
}

TEST(ExtrapolationTest, WhatIsWithheldIsPartOfTheId) {
  const Observations sweep = Labelled(1), other = Labelled(1, 1.08);
  EXPECT_NE(WithheldFit(sweep, Method::kParametric).fit_id,
            WithheldFit(other, Method::kParametric).fit_id);
}

TEST(ExtrapolationTest, UnknownAndAllSizesAreRefused) {
  const Observations sweep = Labelled(1);
  FitOptions options;
  options.withhold = {"s9"};
  EXPECT_THAT(Fit(sweep, options), StatusIs(absl::StatusCode::kInvalidArgument,
                                            AllOf(HasSubstr("'s9'"), HasSubstr("s0, s1"))));
  options.withhold = sweep.families();
  EXPECT_THAT(Fit(sweep, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing to fit")));
  EXPECT_THAT(Fit(CurveSweep(1, 5, 20), options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not labelled")));
}

}  // namespace
}  // namespace allometry::fitting
