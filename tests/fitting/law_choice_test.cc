// Which law is taken where none was named.
#include "fitting/method/law_choice.h"

#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

LawChoice Choose(const Observations& sweep) {
  const Views views = MakeViews(sweep, {}, false);
  FitOptions options;
  options.choose_law = true;
  return ChooseLaw(views.all.front(), views.clusters, options);
}

// Losses of the coupled law: alpha .6, beta .85, gamma .45.
Observations CoupledSweep(uint64_t seed) {
  Observations sweep;
  Random random(seed, 6000);
  for (int k = 0; k < 9; ++k) {
    const double params = 1e4 * std::pow(40.0, k / 8.0);
    for (int i = 0; i < 8; ++i) {
      Observation point;
      point.params = params;
      point.tokens = params * 5 * std::pow(200.0, i / 7.0);
      point.loss =
          1.0 + std::pow(130 * std::pow(point.params, -0.6) + 53000 * std::pow(point.tokens, -0.85),
                         0.45);
      point.loss *= std::exp(0.001 * random.Normal());
      sweep.Add(point);
    }
  }
  return sweep;
}

TEST(LawChoiceTest, StandardWhereItHolds) {
  for (int seed = 0; seed < 10; ++seed) {
    const LawChoice choice = Choose(GridSweep(seed, {}));
    EXPECT_EQ(choice.fit.problem.law->kind, LawKind::kStandard) << seed << " " << choice.why;
    EXPECT_EQ(choice.why, "");
  }
  EXPECT_EQ(Choose(Chinchilla240()).fit.problem.law->kind, LawKind::kStandard);
}

TEST(LawChoiceTest, CoupledWhereStandardLeavesAPattern) {
  int coupled = 0;
  for (int seed = 0; seed < 10; ++seed) {
    const LawChoice choice = Choose(CoupledSweep(seed));
    if (choice.fit.problem.law->kind != LawKind::kCoupled) continue;
    ++coupled;
    EXPECT_NE(choice.why.find("law coupled instead of standard"), std::string::npos);
  }
  EXPECT_GE(coupled, 8);
}

// The quickstart's sweep as it was trained once. Its prediction ten times beyond the data was then
// trained: 262,344 parameters at 3e13 FLOPs reached 1.3025. The standard law says 1.39.
TEST(LawChoiceTest, TheQuickstartPredictsALossThatWasMeasuredLater) {
  FitOptions options;
  options.choose_law = true;
  options.budgets = {3e13};
  const FitReport report = FitOrDie(ReadData("quickstart.csv"), options);
  EXPECT_TRUE(report.conclusion.contradictions.empty())
      << report.conclusion.contradictions.front().text;
  const Answer& answer = report.conclusion.answers.front();
  ASSERT_TRUE(answer.loss.lower && answer.params.lower);
  EXPECT_EQ(report.fits.front().law, "coupled");
  EXPECT_NEAR(*answer.loss.estimate, 1.3025, 0.01);
  EXPECT_LT(*answer.loss.lower, 1.3025);
  EXPECT_GT(*answer.loss.upper, 1.3025);
  EXPECT_NEAR(Value(report.fits[0], "a"), Value(report.fits[1], "a"), 0.05);
  double best = 10;
  for (const Observation& point : ReadData("quickstart.csv").points()) {
    best = std::min(best, point.loss);
  }
  EXPECT_LT(Value(report.fits[0], "E"), best);
  options.choose_law = false;
  const FitReport standard = FitOrDie(ReadData("quickstart.csv"), options);
  EXPECT_TRUE(standard.fits.front().not_usable);
}

}  // namespace
}  // namespace allometry::fitting
