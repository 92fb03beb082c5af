// Frontier, isoFLOP and loss against compute, on curves whose answer is known.
#include "fitting/method/frontier.h"

#include <cmath>
#include <set>

#include "fitting/method/akima.h"
#include "fitting/method/curve_fit.h"
#include "fitting/method/isoflop.h"
#include "fitting/method/loss_compute.h"
#include "gmock/gmock.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

const Truth kTruth;

MethodFit Only(Method method, const Observations& observations, FitOptions options = {}) {
  options.method = method;
  const FitReport report = FitOrDie(observations, options);
  return report.fits.empty() ? MethodFit() : report.fits.front();
}

struct Errors {
  double bias = 0, rmse = 0;
  int covered = 0;
};

template <class Run>
Errors Over40Seeds(const Run& run) {
  Errors errors;
  for (int seed = 0; seed < 40; ++seed) {
    const MethodFit fit = run(CurveSweep(seed));
    EXPECT_FALSE(fit.refused) << *fit.refused;
    const Estimate& a = *fit.Find("a");
    const double error = *a.estimate - kTruth.a();
    errors.bias += error / 40;
    errors.rmse += error * error / 40;
    errors.covered += a.lower && *a.lower <= kTruth.a() && kTruth.a() <= *a.upper;
  }
  errors.rmse = std::sqrt(errors.rmse);
  return errors;
}

TEST(FrontierTest, IsUnbiasedAndCoversOver40Seeds) {
  const Errors errors =
      Over40Seeds([](const Observations& sweep) { return Only(Method::kFrontier, sweep); });
  EXPECT_LE(std::abs(errors.bias), 0.002);
  EXPECT_LE(errors.rmse, 0.005);
  EXPECT_GE(errors.covered, 34);
}

TEST(IsoflopTest, IsUnbiasedAndCoversOver40Seeds) {
  const Errors errors =
      Over40Seeds([](const Observations& sweep) { return Only(Method::kIsoflop, sweep); });
  EXPECT_LE(std::abs(errors.bias), 0.002);
  EXPECT_LE(errors.rmse, 0.005);
  EXPECT_GE(errors.covered, 34);
}

TEST(FrontierTest, EveryMethodFindsTheExponentOfTheCurveTable) {
  const FitReport report = FitOrDie(ReadData("synthetic_curves_chinchilla.csv"), {});
  ASSERT_EQ(report.fits.size(), 4u);
  for (const MethodFit& fit : report.fits) {
    ASSERT_FALSE(fit.refused) << *fit.refused;
    if (fit.method == Method::kLossCompute) continue;
    const Estimate& a = *fit.Find("a");
    EXPECT_NEAR(*a.estimate, 0.4516129, fit.method == Method::kParametric ? 0.005 : 0.010)
        << Name(fit.method);
    EXPECT_LE(*a.lower, 0.4516129) << Name(fit.method);
    EXPECT_GE(*a.upper, 0.4516129) << Name(fit.method);
  }
}

// Minima at the edge of the grid of models drag the exponent by -.06 to -.09 where they are kept.
TEST(FrontierTest, MinimaAtTheEdgeOfTheGridAreDropped) {
  Observations sweep = CurveSweep(1, 16, 200);
  const Views views = MakeViews(sweep, {}, false);
  const DataView& view = views.all.front();
  const FrontierResult result =
      FrontierPlan(view, views.curves, Minimum::kParabola).Evaluate(view.sample.log_loss);
  ASSERT_TRUE(result.laws);
  const double step = std::log(200.0) / 15;
  for (const FrontierPoint& point : result.points) {
    EXPECT_GT(point.log_params, std::log(5e6) + step);
    EXPECT_LT(point.log_params, std::log(1e9) - step);
  }
}

TEST(FrontierTest, ParabolaIsFinerThanTheGridOfModels) {
  const Observations sweep = CurveSweep(1);
  const Views views = MakeViews(sweep, {}, false);
  const DataView& view = views.all.front();
  std::set<double> by_argmin, by_parabola;
  for (const auto& point :
       FrontierPlan(view, views.curves, Minimum::kArgmin).Evaluate(view.sample.log_loss).points) {
    by_argmin.insert(point.log_params);
  }
  for (const auto& point :
       FrontierPlan(view, views.curves, Minimum::kParabola).Evaluate(view.sample.log_loss).points) {
    by_parabola.insert(point.log_params);
  }
  EXPECT_LE(by_argmin.size(), 16u);
  EXPECT_GT(by_parabola.size(), 100u);
}

TEST(FrontierTest, OptionsForTheMinimumAllWorkAndAreNamed) {
  for (Minimum minimum : {Minimum::kArgmin, Minimum::kAkima, Minimum::kCrossing}) {
    FitOptions options;
    options.minimum = minimum;
    options.resamples = 20;
    const MethodFit fit = Only(Method::kFrontier, CurveSweep(2), options);
    ASSERT_FALSE(fit.refused) << Name(minimum) << *fit.refused;
    EXPECT_NEAR(Value(fit, "a"), kTruth.a(), 0.03) << Name(minimum);
    EXPECT_THAT(fit.notes, Contains(HasSubstr(Name(minimum))));
  }
}

TEST(FrontierTest, SmoothingWindowIsCentred) {
  // ln L linear in ln D: a centred window changes nothing, an average over the past would lag.
  Observations sweep;
  for (int k = 0; k < 7; ++k) {
    for (int i = 0; i < 60; ++i) {
      Observation point;
      point.params = 1e7 * std::pow(2.0, k);
      point.tokens = 1e8 * std::pow(1.1, i);
      const double log_params = std::log(point.params / 8e7);
      const double optimum = 0.5 * std::log(point.params * point.tokens / 2e18);
      point.loss = 3 * std::exp(-0.05 * std::log(point.params * point.tokens / 2e18) +
                                0.02 * (log_params - optimum) * (log_params - optimum));
      sweep.Add(point, std::to_string(k));
    }
  }
  const MethodFit fit = Only(Method::kFrontier, sweep);
  ASSERT_FALSE(fit.refused) << *fit.refused;
  EXPECT_NEAR(Value(fit, "a"), 0.5, 2e-3);
}

TEST(FrontierTest, CurvesThatDoNotCrossAreRefused) {
  Observations sweep;
  for (const Observation& point : CurveSweep(1).points()) {
    if (point.tokens < 3 * point.params) {
      sweep.Add(point, std::to_string(point.run));  // every larger model is still worse
    }
  }
  FitOptions options;
  options.method = Method::kFrontier;
  const MethodFit fit = Only(Method::kFrontier, sweep, options);
  EXPECT_TRUE(fit.refused);
  EXPECT_TRUE(fit.parameters.empty());
}

TEST(FrontierTest, PointsWithoutCurvesAreRefusedWithTheReason) {
  const MethodFit fit = Only(Method::kFrontier, ReadData("synthetic_symmetric_noisefree.csv"));
  ASSERT_TRUE(fit.refused);
  EXPECT_THAT(*fit.refused, HasSubstr("nothing to interpolate"));
}

TEST(FrontierTest, FewSizesAreSaid) {
  Observations sweep;
  for (const Observation& point : CurveSweep(3).points()) {
    if (point.run >= 6 && point.run < 10) sweep.Add(point, std::to_string(point.run));
  }
  const MethodFit fit = Only(Method::kFrontier, sweep);
  ASSERT_FALSE(fit.refused) << *fit.refused;
  EXPECT_THAT(fit.notes, Contains(HasSubstr("through 3 sizes only")));
  EXPECT_THAT(fit.interval.reason, HasSubstr("4 curves"));
}

TEST(FrontierTest, ExponentsAddToOneUnder6ndAndAreShownOtherwise) {
  const MethodFit joint = Only(Method::kFrontier, CurveSweep(1));
  EXPECT_DOUBLE_EQ(Value(joint, "a_plus_b"), 1);
  Observations other;
  for (Observation point : CurveSweep(1).points()) {
    point.flops = 60 * std::pow(point.params, 0.9) * point.tokens;
    other.Add(point, std::to_string(point.run));
  }
  const MethodFit separate = Only(Method::kFrontier, other);
  ASSERT_FALSE(separate.refused) << *separate.refused;
  EXPECT_EQ(separate.flops_convention, "data");
  // C = 60 N^.9 D: b = 1 - .9 a, so the sum is 1 + .1 a.
  EXPECT_NEAR(Value(separate, "a_plus_b"), 1 + 0.1 * Value(separate, "a"), 0.01);
  EXPECT_NEAR(Value(separate, "a"), 0.28 / (0.34 + 0.9 * 0.28), 0.02);
}

// A noisy sweep of several seeds a size is averaged, not interleaved.
TEST(FrontierTest, SeedsOfOneSizeAreAveraged) {
  Observations sweep;
  for (int seed = 0; seed < 3; ++seed) {
    const Observations one = CurveSweep(seed, 12, 80);
    for (const Observation& point : one.points()) {
      sweep.Add(point, std::to_string(seed) + "/" + std::to_string(point.run));
    }
  }
  const Views views = MakeViews(sweep, {}, false);
  const FrontierPlan plan(views.all.front(), views.curves, Minimum::kParabola);
  EXPECT_EQ(plan.sizes(), 12);
  EXPECT_EQ(plan.curves(), 36);
  const FrontierResult result = plan.Evaluate(views.all.front().sample.log_loss);
  ASSERT_TRUE(result.laws);
  EXPECT_NEAR(result.laws->a, kTruth.a(), 0.01);
}

// A parabola through all sizes of these tables has N* at 1e24 off by 1.054 and 1.301; the local
// cubic is not symmetric, and nor is the loss.
TEST(IsoflopTest, LocalCubicHasLittleBiasOnNoiseFreeTables) {
  const struct {
    const char* table;
    double alpha, beta, most;
  } rows[] = {{"symmetric", 0.31, 0.31, 1.001},
              {"chinchilla", 0.34, 0.28, 1.01},
              {"asymmetric", 0.465, 0.155, 1.05}};
  for (const auto& row : rows) {
    FitOptions options;
    options.method = Method::kIsoflop;
    options.budgets = {1e24};
    const FitReport report =
        FitOrDie(ReadData(std::string("synthetic_") + row.table + "_noisefree.csv"), options);
    Truth truth;
    truth.alpha = row.alpha, truth.beta = row.beta;
    EXPECT_NEAR(Value(report.fits[0], "a"), truth.a(), 1e-8) << row.table;
    ASSERT_EQ(report.predictions.size(), 1u);
    const double ratio = *report.predictions[0].params.estimate / truth.BestParams(1e24);
    EXPECT_LE(std::max(ratio, 1 / ratio), row.most) << row.table << " " << ratio;
    EXPECT_NEAR(report.predictions[0].decades_outside, 3, 1e-9);
  }
}

// Grids that are off centre and drift along the budgets: what published sweeps look like.
TEST(IsoflopTest, ExponentStandsOffCentreGridsOfAsymmetricLaws) {
  double squares = 0, count = 0;
  for (const Truth& truth : {Truth{1.7, 406.4, 410.7, 0.34, 0.28}, Truth{1.7, 700, 35, 0.42, 0.22},
                             Truth{1.7, 60, 20000, 0.25, 0.45}}) {
    for (const double drift : {-0.6, 0.0, 0.6}) {
      Observations sweep;
      for (int b = 0; b < 7; ++b) {
        const double flops = 1e18 * std::pow(10, 0.5 * b);
        for (int k = 0; k < 9; ++k) {
          Observation point;
          point.params = truth.BestParams(flops) *
                         std::pow(10, drift * (b / 6.0 - 0.5) + 1.6 * (k / 8.0 - 0.5));
          point.tokens = flops / (6 * point.params);
          point.loss = truth.Loss(point.params, point.tokens);
          sweep.Add(point, std::to_string(b) + "/" + std::to_string(k));
        }
      }
      const Views views = MakeViews(sweep, {}, false);
      const FrontierResult result =
          IsoflopPlan(views.all.front(), views.curves).Evaluate(views.all.front().sample.log_loss);
      ASSERT_TRUE(result.laws) << result.refused;
      squares += std::pow(result.laws->a - truth.a(), 2), count += 1;
    }
  }
  EXPECT_LE(std::sqrt(squares / count), 0.008);
}

// Shapes of nearly one N with a difference of their own: parabolas through both have vertices
// anywhere.
TEST(FrontierTest, SizesThatNearlyCoincideAreOne) {
  Observations sweep;
  for (int k = 0; k < 12; ++k) {
    for (int shape = 0; shape < 2; ++shape) {
      const double params = 1e7 * std::pow(1.7, k) * (shape == 0 ? 1 : 1.03);
      for (int i = 0; i < 60; ++i) {
        Observation point;
        point.params = params;
        point.tokens = params * 0.5 * std::pow(400.0, i / 59.0);
        point.loss = kTruth.Loss(params, point.tokens) * (1 + 0.01 * ((k + shape) % 2));
        sweep.Add(point, std::to_string(k) + "/" + std::to_string(shape));
      }
    }
  }
  const Views views = MakeViews(sweep, {}, false);
  const DataView& view = views.all.front();
  const FrontierResult result =
      FrontierPlan(view, views.curves, Minimum::kParabola).Evaluate(view.sample.log_loss);
  ASSERT_TRUE(result.laws) << result.refused;
  EXPECT_NEAR(result.laws->a, kTruth.a(), 0.01);
  for (const FrontierPoint& point : result.points) {
    EXPECT_GE(point.log_loss, std::log(kTruth.BestLoss(std::exp(point.log_flops))) - 0.005);
  }
}

// A final loss taken from whatever step a run reached is not at a budget.
TEST(IsoflopTest, ReadsOnlyMarkedCellsWhereTheDataMarksThem) {
  Observations sweep;
  for (double flops : {1e18, 1e19, 1e20}) {
    for (int k = 0; k < 9; ++k) {
      Observation point;
      point.params = kTruth.BestParams(flops) * std::pow(1.6, k - 4);
      point.tokens = flops / (6 * point.params);
      point.loss = kTruth.Loss(point.params, point.tokens);
      point.ends_cell = true;
      sweep.Add(point);
      point.tokens *= 0.97;  // on the way there, with a loss that is not the cell's
      point.loss *= 1.5 - 0.1 * k;
      point.ends_cell = false;
      sweep.Add(point);
    }
  }
  const Views views = MakeViews(sweep, {}, false);
  const DataView& view = views.all.front();
  const IsoflopPlan plan(view, views.curves);
  EXPECT_EQ(plan.groups(), 3);
  const FrontierResult result = plan.Evaluate(view.sample.log_loss);
  ASSERT_TRUE(result.laws) << result.refused;
  EXPECT_NEAR(result.laws->a, kTruth.a(), 1e-3);
}

TEST(ParabolaTest, VertexIsExactAndUpsideDownIsNothing) {
  const auto vertex = ParabolaVertex({20, 21, 22.5, 24}, {4 + 9, 4 + 4, 4 + 0.25, 4 + 1});
  ASSERT_TRUE(vertex);
  EXPECT_NEAR(vertex->x, 23, 1e-9);
  EXPECT_NEAR(vertex->y, 4, 1e-9);
  EXPECT_FALSE(ParabolaVertex({1, 2, 3}, {0, 1, 0}));
  EXPECT_FALSE(ParabolaVertex({1, 2}, {0, 1}));
}

TEST(AkimaTest, FindsTheMinimumInsideAndNoneAtTheEnd) {
  std::vector<double> x, y, falling;
  for (int i = 0; i < 9; ++i) {
    x.push_back(i);
    y.push_back((i - 3.4) * (i - 3.4));
    falling.push_back(-i);
  }
  const auto vertex = AkimaMinimum(x, y);
  ASSERT_TRUE(vertex);
  EXPECT_NEAR(vertex->x, 3.4, 0.05);
  EXPECT_FALSE(AkimaMinimum(x, falling));
}

// Slopes of Pearce and Song's own script on its own frontier.
TEST(FrontierTest, PowerLawsThroughPearcesFrontierHaveItsSlopes) {
  std::vector<FrontierPoint> total, nonembedding;
  FILE* file = std::fopen(DataPath("pearce_frontier.csv").c_str(), "r");
  ASSERT_NE(file, nullptr);
  char line[256], count[32];
  double flops, params, loss;
  while (std::fgets(line, sizeof line, file)) {
    if (std::sscanf(line, "%31[^,],%lf,%lf,%lf", count, &flops, &params, &loss) != 4) continue;
    (std::string(count) == "total" ? total : nonembedding)
        .push_back({std::log(flops), std::log(params), 0, std::log(loss)});
  }
  std::fclose(file);
  ASSERT_EQ(total.size(), 100u);
  EXPECT_NEAR(FitPowerLaws(total, true).a, 0.5154255, 1e-6);
  EXPECT_NEAR(FitPowerLaws(nonembedding, true).a, 0.7805396, 1e-6);
}

std::vector<FrontierPoint> LossCurve(double floor, double excess, double c, double low,
                                     double high) {
  std::vector<FrontierPoint> points;
  for (int i = 0; i <= 60; ++i) {
    const double log_flops = std::log(low) + (std::log(high) - std::log(low)) * i / 60;
    const double u = log_flops - 0.5 * (std::log(low) + std::log(high));
    points.push_back({log_flops, 0, 0, std::log(floor + excess * std::exp(-c * u))});
  }
  return points;
}

TEST(LossComputeTest, RecoversPlantedCoefficients) {
  const LossCompute fit = FitLossCompute(LossCurve(1.7, 0.8, 0.155, 1e18, 1e22));
  ASSERT_FALSE(fit.refused) << *fit.refused;
  EXPECT_NEAR(fit.floor, 1.7, 1e-9);
  EXPECT_NEAR(fit.excess, 0.8, 1e-9);
  EXPECT_NEAR(fit.exponent, 0.155, 1e-9);
  EXPECT_LE(fit.gradient_norm, 1e-10);
  EXPECT_NEAR(fit.Loss(1e20), 2.5, 1e-9);
}

TEST(LossComputeTest, ActiveBoundIsNamedAndRefused) {
  // Two classes: the floor lies below the seeds' bound of .1 nats.
  const LossCompute fit = FitLossCompute(LossCurve(0.02, 0.4, 0.1, 1e12, 1e16));
  ASSERT_TRUE(fit.refused);
  EXPECT_THAT(fit.active_bounds, Contains("E >= 0.1"));
  EXPECT_GE(fit.floor, 0.1);
  const LossCompute steep = FitLossCompute(LossCurve(1, 0.4, 1.7, 1e18, 1e19));
  EXPECT_THAT(steep.active_bounds, Contains("c <= 1"));
}

TEST(LossComputeTest, ExponentIsThatOfTheLaw) {
  const MethodFit fit = Only(Method::kLossCompute, CurveSweep(1));
  ASSERT_FALSE(fit.refused) << *fit.refused;
  EXPECT_NEAR(Value(fit, "c"), 0.34 * 0.28 / 0.62, 0.02);
  EXPECT_NEAR(Value(fit, "E"), 1.69, 0.05);
}

TEST(LossComputeTest, FewDecadesAreSaid) {
  Observations sweep;
  for (const Observation& point : CurveSweep(1).points()) {
    if (point.flops < 1e18) sweep.Add(point, std::to_string(point.run));
  }
  const MethodFit fit = Only(Method::kLossCompute, sweep);
  EXPECT_THAT(fit.notes, Contains(HasSubstr("E and c are not told apart")));
}

}  // namespace
}  // namespace allometry::fitting
