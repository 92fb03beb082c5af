#include "fitting/report/influence.h"

#include "gmock/gmock.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using ::testing::HasSubstr;

// The clean 64 points of tests/fitting/data/faults; the losses of one size times `factor`.
Observations WithSizeAt(double factor) {
  constexpr double kSize = 57818000;
  Observations observations;
  int changed = 0;
  for (Observation point : ReadData("faults/31.csv").points()) {
    if (point.params == kSize) {
      point.loss *= factor;
      ++changed;
    }
    observations.Add(point);
  }
  EXPECT_EQ(changed, 8);
  return observations;
}

FitReport ParametricReport(const Observations& observations) {
  FitOptions options;
  options.method = Method::kParametric;
  return FitOrDie(observations, options);
}

TEST(InfluenceTest, ASizeThatWasTrainedBadlyIsNamedWithTheFitWithoutIt) {
  const FitReport clean = ParametricReport(WithSizeAt(1));
  EXPECT_FALSE(clean.influence.has_value());
  for (double factor : {1.05, .95}) {
    const FitReport report = ParametricReport(WithSizeAt(factor));
    ASSERT_TRUE(report.influence.has_value()) << factor;
    const Influence& influence = *report.influence;
    EXPECT_EQ(influence.params, 57818000);
    EXPECT_EQ(influence.points, 8);
    EXPECT_NEAR(influence.shift, factor - 1, .01);
    EXPECT_LT(influence.scatter_without, influence.scatter / 2);
    for (const Influence::Parameter& one : influence.parameters) {
      const double truth = Value(clean.fits.front(), one.name.c_str());
      EXPECT_NEAR(one.without / truth, 1, .05) << one.name;
    }
    EXPECT_THAT(ReportText(report), HasSubstr("influence: the 8 points of N = 5.782e+07 lie"));
    EXPECT_THAT(ReportJson(report), HasSubstr("\"scatter_without\""));
  }
}

}  // namespace
}  // namespace allometry::fitting
