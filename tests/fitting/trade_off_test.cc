// Models other than the compute-optimal one, against a search by hand and a published number.
#include "fitting/law/trade_off.h"

#include <cmath>

#include "fitting/report/fit.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A law of that truth over centred data.
struct Given {
  explicit Given(const Truth& truth, LawKind kind = LawKind::kStandard, double gamma = 1)
      : law(FindLaw(kind)) {
    sample.x_center = std::log(1e9), sample.y_center = std::log(1e10);
    theta = Theta::Zero();
    theta[kLogA] = std::log(truth.a_term) - truth.alpha * sample.x_center;
    theta[kLogB] = std::log(truth.b_term) - truth.beta * sample.y_center;
    theta[kAlpha] = truth.alpha, theta[kBeta] = truth.beta;
    theta[kLogE] = std::log(truth.floor), theta[kLogGamma] = std::log(gamma);
  }
  double Loss(double params, double tokens) const {
    return std::exp(LogLossAt(law, theta, std::log(params) - sample.x_center,
                              std::log(tokens) - sample.y_center, nullptr));
  }
  double Ask(const Quantity& quantity) const {
    const double value = quantity.Value(law, sample, theta, nullptr);
    return quantity.logarithmic() ? std::exp(value) : value;
  }
  const Law& law;
  Sample sample;
  Theta theta;
};

// Sardana and Frankle (2024, figure 1): whoever wants the quality of a 13B Chinchilla model and
// serves 2e12 tokens saves 1.7e22 FLOPs, 17 %, by training a 7B model. Coefficients of Hoffmann et
// al. (2022) with the exponents to three digits.
TEST(ServingTest, ReproducesThePublishedSevenBillion) {
  const Truth truth{1.69, 406.4, 410.7, 0.336, 0.283};
  const Given given(truth);
  const double g = std::pow(truth.alpha * truth.a_term / (truth.beta * truth.b_term),
                            1 / (truth.alpha + truth.beta));
  const double flops = 6 * std::pow(13e9 / g, 1 / truth.a());
  const std::vector<Quantity> parts = ServingQuantities(flops, 2e12, {});
  EXPECT_NEAR(given.Ask(parts[kServeParams]), 7e9, 0.05e9);
  EXPECT_NEAR(given.Ask(parts[kServeSaved]), 0.17, 0.005);
  const double total = given.Ask(parts[kServeTotal]);
  EXPECT_NEAR(total / (1 - given.Ask(parts[kServeSaved])) - total, 1.7e22, 0.05e22);
}

class TradeOffLawTest : public ::testing::TestWithParam<double> {};

TEST_P(TradeOffLawTest, ServingIsTheCheapestOfAFineGridForEveryCost) {
  const Given given({}, GetParam() == 1 ? LawKind::kStandard : LawKind::kCoupled, GetParam());
  for (const Cost& cost : {Cost{}, Cost{std::log(9.0), 0.95, 0}}) {
    const double flops = 1e22, served = 3e12;
    const double loss = given.Ask({QuantityKind::kLoss, flops, cost});
    const double best = given.Ask({QuantityKind::kLogParams, flops, cost});
    double cheapest = 1e300, at = 0;
    for (double params = best / 10; params < best * 1.2; params *= 1.0005) {
      double low = 1e5, high = 1e25;  // tokens, by bisection
      if (given.Loss(params, high) > loss) continue;
      for (int k = 0; k < 200; ++k) {
        const double middle = std::sqrt(low * high);
        (given.Loss(params, middle) > loss ? low : high) = middle;
      }
      const double total = std::exp(cost.log_k + cost.s * std::log(params)) * (low + served / 3);
      if (total < cheapest) cheapest = total, at = params;
    }
    const std::vector<Quantity> parts = ServingQuantities(flops, served, cost);
    EXPECT_NEAR(given.Ask(parts[kServeTotal]) / cheapest, 1, 1e-6);
    EXPECT_NEAR(given.Ask(parts[kServeParams]) / at, 1, 1e-3);
    const double tokens = given.Ask(parts[kServeTokens]);
    EXPECT_NEAR(given.Loss(given.Ask(parts[kServeParams]), tokens), loss, 1e-9);
    EXPECT_NEAR(given.Ask(parts[kServeTraining]) /
                    std::exp(cost.log_k + cost.s * std::log(given.Ask(parts[kServeParams])) +
                             std::log(tokens)),
                1, 1e-9);
  }
}

TEST_P(TradeOffLawTest, ASmallerModelAtTheSameComputeAndThePriceOfTheSameLoss) {
  const Given given({}, GetParam() == 1 ? LawKind::kStandard : LawKind::kCoupled, GetParam());
  const double flops = 1e21;
  const double best = given.Ask({QuantityKind::kLogParams, flops, {}});
  const double loss = given.Ask({QuantityKind::kLoss, flops, {}});
  const std::vector<Quantity> parts = SmallerQuantities(flops, 2, {});
  EXPECT_NEAR(given.Ask(parts[kSmallerParams]) / (best / 2), 1, 1e-12);
  EXPECT_NEAR(given.Ask(parts[kSmallerTokens]) / (flops / (3 * best)), 1, 1e-12);
  EXPECT_NEAR(given.Ask(parts[kSmallerLoss]), given.Loss(best / 2, flops / (3 * best)), 1e-12);
  const double multiple = given.Ask(parts[kSmallerMultiple]);
  EXPECT_GT(multiple, 1);
  EXPECT_NEAR(given.Loss(best / 2, multiple * flops / (3 * best)), loss, 1e-9);
  // Its own limit without end of data is above the loss.
  EXPECT_TRUE(std::isinf(given.Ask(SmallerQuantities(flops, 1000, {})[kSmallerMultiple])));
}

INSTANTIATE_TEST_SUITE_P(Laws, TradeOffLawTest, ::testing::Values(1.0, 0.8));

TEST(TradeOffTest, GradientsAreThoseOfFiniteSteps) {
  const Given given({});
  for (const Quantity& part : ServingQuantities(1e22, 1e12, {})) {
    Theta gradient;
    part.Value(given.law, given.sample, given.theta, &gradient);
    for (int k = 0; k < given.law.free; ++k) {
      Theta up = given.theta, down = given.theta;
      up[k] += 1e-3, down[k] -= 1e-3;
      const double slope = (part.Value(given.law, given.sample, up, nullptr) -
                            part.Value(given.law, given.sample, down, nullptr)) /
                           2e-3;
      EXPECT_NEAR(gradient[k], slope, 1e-3 * (1 + std::abs(slope))) << part.name() << " " << k;
    }
  }
}

FitOptions Asked() {
  FitOptions options;
  options.budgets = {1e22};
  options.served_tokens = {1e12};
  options.times_smaller = {2, 1000};
  options.objective = ObjectiveKind::kLsqLog;
  return options;
}

TEST(TradeOffTest, AFitSaysThemWithIntervalsThatHoldTheTruth) {
  const Given given({});
  int covered = 0;
  constexpr int kSweeps = 60;
  for (int seed = 0; seed < kSweeps; ++seed) {
    FitOptions options = Asked();
    options.method = Method::kParametric;
    const FitReport report = FitOrDie(GridSweep(seed, Design{}), options);
    ASSERT_EQ(report.trade_offs.size(), 3u);
    const Estimate& params = report.trade_offs[0].parts[kServeParams].value;
    ASSERT_TRUE(params.lower && params.upper);
    const double truth = given.Ask(ServingQuantities(1e22, 1e12, {})[kServeParams]);
    covered += *params.lower <= truth && truth <= *params.upper;
  }
  EXPECT_GE(covered, 51) << "of " << kSweeps << "; .95 of them are expected";
}

TEST(TradeOffTest, TheReportNamesWhatIsNeverReachedAndALawThatIsNotUsable) {
  const FitReport report = FitOrDie(GridSweep(1, Design{}), Asked());
  const std::string text = ReportText(report);
  EXPECT_THAT(text, HasSubstr("serving: the cheapest model"));
  EXPECT_THAT(text, HasSubstr("1000x"));
  EXPECT_THAT(text, HasSubstr("never reached"));
  EXPECT_THAT(text, Not(HasSubstr("of a law that is not usable")));

  TransientDesign design;
  design.transient = Transient::kAllTokens;
  FitOptions all = Asked();
  all.window.kind = WindowKind::kAll;
  const FitReport bad = FitOrDie(TransientSweep(1, design), all);
  ASSERT_TRUE(bad.fits.front().not_usable);
  EXPECT_THAT(ReportText(bad), HasSubstr("of a law that is not usable"));
  for (const TradeOff& row : bad.trade_offs) {
    for (const NamedEstimate& part : row.parts) EXPECT_FALSE(part.value.lower) << part.name;
  }
}

TEST(TradeOffTest, WrongNumbersAreRefused) {
  const Observations sweep = GridSweep(1, Design{});
  FitOptions options = Asked();
  options.times_smaller = {1};
  EXPECT_THAT(Fit(sweep, options).status().message(), HasSubstr("above 1"));
  options = Asked();
  options.served_tokens = {-1};
  EXPECT_THAT(Fit(sweep, options).status().message(), HasSubstr("served tokens -1"));
  options = Asked();
  options.method = Method::kIsoflop;
  EXPECT_THAT(Fit(sweep, options).status().message(), HasSubstr("method isoflop"));
  EXPECT_THAT(ParseNumbers("1e12,x", "served tokens", 0).status().message(),
              HasSubstr("served tokens 'x' is not a number above 0"));
}

}  // namespace
}  // namespace allometry::fitting
