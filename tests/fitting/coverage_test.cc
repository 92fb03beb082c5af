// Do 95 % intervals cover? A small edition of bench/coverage that belongs in every test run.
#include <Eigen/LU>
#include <cmath>

#include "fitting/interval/interval.h"
#include "fitting/method/view.h"
#include "fitting/solve/statistics.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

constexpr int kSweeps = 60, kLeast = 47;  // P(fewer than 47 of 60 at 95 %) is about 1e-6

std::vector<Quantity> FiveQuantities() {
  return {{QuantityKind::kAlpha, 0, {}},
          {QuantityKind::kBeta, 0, {}},
          {QuantityKind::kFloor, 0, {}},
          {QuantityKind::kA, 0, {}},
          {QuantityKind::kLoss, 1e24, {}}};
}

struct Case {
  const char* name;
  ObjectiveKind objective;
  Design design;
};

class CoverageTest : public ::testing::TestWithParam<Case> {};

TEST_P(CoverageTest, CoversAtLeast47Of60) {
  const Truth truth;
  const std::vector<double> truths = {truth.alpha, truth.beta, truth.floor, truth.a(),
                                      truth.BestLoss(1e24)};
  const std::vector<Quantity> quantities = FiveQuantities();
  const Problem problem{&FindLaw(LawKind::kStandard), {GetParam().objective, 1e-3}, 0};
  std::vector<int> covered(truths.size(), 0);
  for (int seed = 0; seed < kSweeps; ++seed) {
    const Views views = MakeViews(GridSweep(seed, GetParam().design), {}, false);
    const Sample& sample = views.all.front().sample;
    const Optimum optimum = FindOptimum(problem, sample);
    const Intervals intervals =
        MakeIntervals(problem, sample, views.clusters, optimum, quantities, {});
    for (size_t k = 0; k < truths.size(); ++k) {
      const Estimate& estimate = intervals.estimates[k];
      covered[k] += estimate.lower && *estimate.lower <= truths[k] && truths[k] <= *estimate.upper;
    }
  }
  for (size_t k = 0; k < truths.size(); ++k) {
    EXPECT_GE(covered[k], kLeast) << quantities[k].name();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Designs, CoverageTest,
    ::testing::Values(Case{"SquaresIid", ObjectiveKind::kLsqLog, {9, 8, 0.004, 0}},
                      Case{"SquaresClustered", ObjectiveKind::kLsqLog, {9, 8, 0.003, 0.003}},
                      Case{"SquaresFiveSizes", ObjectiveKind::kLsqLog, {5, 12, 0.003, 0.003}},
                      Case{"HuberIid", ObjectiveKind::kHuber, {9, 8, 0.004, 0}},
                      Case{"HuberClustered", ObjectiveKind::kHuber, {9, 8, 0.003, 0.003}},
                      Case{"LadClustered", ObjectiveKind::kLad, {9, 8, 0.003, 0.003}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(CoverageTest, MedianWidthIsAtMostOneAndAHalfTimesTheClassicalOne) {
  const Problem problem{&FindLaw(LawKind::kStandard), {ObjectiveKind::kLsqLog, 0}, 0};
  const std::vector<Quantity> quantities = FiveQuantities();
  std::vector<std::vector<double>> ratios(quantities.size());
  for (int seed = 0; seed < kSweeps; ++seed) {
    const Views views = MakeViews(GridSweep(seed, {9, 8, 0.004, 0}), {}, false);
    const Sample& sample = views.all.front().sample;
    const Optimum optimum = FindOptimum(problem, sample);
    const Intervals intervals =
        MakeIntervals(problem, sample, views.clusters, optimum, quantities, {});
    const Eigen::MatrixXd covariance =
        Information(problem, sample, optimum.theta).topLeftCorner(5, 5).inverse();
    const double df = static_cast<double>(sample.size()) - 5;
    for (size_t k = 0; k < quantities.size(); ++k) {
      Theta gradient;
      quantities[k].Value(*problem.law, sample, optimum.theta, &gradient);
      const Eigen::VectorXd g = gradient.head(5);
      const double classical =
          2 * StudentQuantile(0.975, df) * std::sqrt(g.dot(covariance * g) * optimum.value / df);
      const Estimate& estimate = intervals.estimates[k];
      ratios[k].push_back((*estimate.upper - *estimate.lower) / classical);
    }
  }
  for (size_t k = 0; k < quantities.size(); ++k) {
    EXPECT_LE(Median(ratios[k]), 1.5) << quantities[k].name();
  }
}

}  // namespace
}  // namespace allometry::fitting
