// Which points the law explains, and whether what it leaves is a pattern.
#include "fitting/method/window.h"

#include "fitting/interval/lack_of_fit.h"
#include "fitting/method/settled.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

const Problem kHuber{&FindLaw(LawKind::kStandard), {ObjectiveKind::kHuber, 1e-3}, 0};

WindowChoice Choose(const Observations& sweep) {
  const Views views = MakeViews(sweep, {}, false);
  return ChooseWindow(views.all.front(), kHuber);
}

double FittedA(const Observations& sweep, const Window& window) {
  const Views views = MakeViews(sweep, {}, false);
  const Optimum optimum = FindOptimum(kHuber, Restrict(views.all.front(), window).view.sample);
  return optimum.theta[kBeta] / (optimum.theta[kAlpha] + optimum.theta[kBeta]);
}

TEST(WindowTest, TablesOfFinishedRunsKeepEveryPoint) {
  for (const char* name : {"chinchilla_svg.csv", "synthetic_chinchilla_noisefree.csv"}) {
    EXPECT_EQ(Choose(ReadData(name)).window.kind, WindowKind::kAll) << name;
  }
}

TEST(WindowTest, ChinchillaIsTheSameBitsAsWithAllPoints) {
  FitOptions automatic, all;
  automatic.objective = all.objective = ObjectiveKind::kHuber;
  all.window.kind = WindowKind::kAll;
  const MethodFit a = Parametric(Chinchilla240(), automatic), b = Parametric(Chinchilla240(), all);
  EXPECT_EQ(Value(a, "alpha"), Value(b, "alpha"));
  EXPECT_EQ(*a.objective.value, *b.objective.value);
}

TEST(WindowTest, SweepsWithoutTransientsKeepEveryPoint) {
  int kept = 0;
  for (int seed = 0; seed < 20; ++seed) {
    kept += Choose(TransientSweep(seed, {.transient = Transient::kNone})).window.kind ==
            WindowKind::kAll;
  }
  EXPECT_GE(kept, 16);
}

class TransientTest : public ::testing::TestWithParam<Transient> {};

// On average: a single sweep's a has a standard error of about .015.
TEST_P(TransientTest, AIsUnbiasedInTheWindowAndBiasedWithout) {
  const Truth truth = TransientTruth();
  constexpr int kSweeps = 20;
  double windowed = 0, whole = 0;
  for (int seed = 0; seed < kSweeps; ++seed) {
    const Observations sweep = TransientSweep(seed, {.transient = GetParam()});
    windowed += (FittedA(sweep, Choose(sweep).window) - truth.a()) / kSweeps;
    whole += (FittedA(sweep, {WindowKind::kAll, 0}) - truth.a()) / kSweeps;
  }
  EXPECT_LE(std::abs(windowed), 0.02);
  EXPECT_GE(std::abs(whole), 0.03);
}

INSTANTIATE_TEST_SUITE_P(Kinds, TransientTest,
                         ::testing::Values(Transient::kSmallRatio, Transient::kAllTokens,
                                           Transient::kSmallTokens, Transient::kPower));

// Without the lengthening about .84 of such sweeps' intervals hold beta, here 33 of 40.
TEST(WindowTest, IntervalsHoldBetaUnderAWarmUpThatIsAPowerOfD) {
  int held = 0, lengthened = 0;
  for (int seed = 0; seed < 40; ++seed) {
    FitOptions options;
    options.method = Method::kParametric;
    const FitReport report = FitOrDie(
        TransientSweep(seed, {.transient = Transient::kPower, .noise = 0.004, .offset = 0}),
        options);
    const MethodFit& fit = report.fits.front();
    const Estimate* beta = fit.Find("beta");
    lengthened += fit.interval.method.find("lengthened") != std::string::npos;
    held += beta->lower && *beta->lower <= TransientTruth().beta &&
            TransientTruth().beta <= *beta->upper;
  }
  EXPECT_EQ(lengthened, 40);
  EXPECT_GE(held, 36);
}

TEST(WindowTest, OptionOverridesTheChoice) {
  FitOptions options;
  options.method = Method::kParametric;
  options.window = {WindowKind::kTokensPerParam, 5};
  const FitReport report = FitOrDie(TransientSweep(1, {}), options);
  ASSERT_TRUE(report.window);
  EXPECT_FALSE(report.window->chosen);
  EXPECT_LT(report.window->points, report.window->total);
  EXPECT_EQ(report.fits[0].objective.observations, report.window->points);
}

TEST(WindowTest, OneThatLeavesNothingIsAnError) {
  FitOptions options;
  options.window = {WindowKind::kTokens, 1e30};
  const absl::StatusOr<FitReport> report = Fit(TransientSweep(1, {}), options);
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.status().message().find("tokens>=1e+30 leaves none of the 240 points"),
            std::string::npos)
      << report.status();
}

TEST(WindowTest, WordsAreParsedAndWrongOnesSayWhatIsAllowed) {
  EXPECT_EQ(ParseWindow("tokens_per_param>=2")->at_least, 2);
  EXPECT_EQ(ParseWindow("tokens >= 3e6")->kind, WindowKind::kTokens);
  EXPECT_EQ(Name(*ParseWindow("flops>=1e18")), "flops>=1e+18");
  for (const char* wrong : {"", "some", "tokens", "tokens>=", "tokens>=-1", "tokens>=nan", "all>=3",
                            "tokens<=3", "tokens>=1e999"}) {
    const absl::StatusOr<Window> window = ParseWindow(wrong);
    ASSERT_FALSE(window.ok()) << wrong;
    EXPECT_NE(window.status().message().find("tokens_per_param>=2"), std::string::npos) << wrong;
  }
}

TEST(LackOfFitTest, HoldsItsLevelWhereErrorsAreClustered) {
  for (const Design& design :
       {Design{9, 8, 0.004, 0, 0}, Design{9, 8, 0.003, 0.003, 0}, Design{8, 12, 0.004, 0, 0.8}}) {
    int rejected = 0;
    for (int seed = 0; seed < 100; ++seed) {
      const Views views = MakeViews(GridSweep(seed, design), {}, false);
      const Sample& sample = views.all.front().sample;
      const LackOfFit lack =
          TestLackOfFit(*kHuber.law, sample, views.clusters, FindOptimum(kHuber, sample).theta);
      ASSERT_TRUE(lack.p);
      rejected += *lack.p <= 0.05;
    }
    EXPECT_LE(rejected, 14) << design.shared << " " << design.rho;  // seen: 3 to 11 of 100
  }
}

TEST(LackOfFitTest, FindsTransientsThatEverySizeHas) {
  int rejected = 0;
  for (int seed = 0; seed < 20; ++seed) {
    const Views views = MakeViews(
        TransientSweep(seed, {.transient = Transient::kAllTokens, .sizes = 12}), {}, false);
    const Sample& sample = views.all.front().sample;
    rejected +=
        TestLackOfFit(*kHuber.law, sample, views.clusters, FindOptimum(kHuber, sample).theta)
            .Rejected();
  }
  EXPECT_GE(rejected, 18);
}

// Where only some sizes have a transient nothing is common to all: the starts of curves say it.
TEST(CurveStartsTest, FindTransientsOfAnySizeAndNoneElsewhere) {
  const auto settled = [](uint64_t seed, Transient transient) {
    const Views views = MakeViews(TransientSweep(seed, {.transient = transient}), {}, false);
    const DataView& view = views.all.front();
    return ReadStarts(view, views.curves, *kHuber.law, FindOptimum(kHuber, view.sample).theta)
        .settled;
  };
  int sound = 0;
  for (int seed = 0; seed < 40; ++seed) {
    sound += settled(seed, Transient::kNone);
    for (Transient transient : {Transient::kSmallRatio, Transient::kAllTokens,
                                Transient::kSmallTokens, Transient::kPower}) {
      EXPECT_FALSE(settled(seed, transient)) << seed << " " << static_cast<int>(transient);
    }
  }
  EXPECT_GE(sound, 37);
}

// Correlated noise is no beginning: AR(1) of .9 and an offset per run.
TEST(CurveStartsTest, HoldsItsLevelUnderCorrelatedNoise) {
  int sound = 0;
  for (int seed = 0; seed < 20; ++seed) {
    const Views views = MakeViews(CurveSweep(seed), {}, false);
    const DataView& view = views.all.front();
    sound +=
        ReadStarts(view, views.curves, *kHuber.law, FindOptimum(kHuber, view.sample).theta).settled;
  }
  EXPECT_GE(sound, 19);
}

// A warm-up that a forced window leaves in is said, and nothing is predicted from it.
TEST(CurveStartsTest, AWindowThatKeepsTheWarmUpIsNotUsable) {
  FitOptions options;
  options.method = Method::kParametric;
  options.window.kind = WindowKind::kAll;
  const FitReport report = FitOrDie(TransientSweep(1, {}), options);
  ASSERT_TRUE(report.window);
  EXPECT_FALSE(report.window->settled);
  ASSERT_TRUE(report.fits[0].not_usable);
  EXPECT_NE(report.fits[0].not_usable->find("curves begin"), std::string::npos)
      << *report.fits[0].not_usable;
  EXPECT_FALSE(report.predictions[0].loss.lower);
}

}  // namespace
}  // namespace allometry::fitting
