#include "fitting/interval/interval.h"

#include <Eigen/Dense>
#include <cmath>

#include "fitting/interval/profile.h"
#include "fitting/method/view.h"
#include "fitting/solve/statistics.h"
#include "gmock/gmock.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using ::testing::HasSubstr;

// FITTING.md's two interval rows.
TEST(IntervalTest, LeastSquaresOnChinchillaHasTheReferenceIntervals) {
  FitOptions options;
  options.objective = ObjectiveKind::kLsqLog;
  const MethodFit fit = Parametric(Chinchilla240(), options);
  EXPECT_EQ(fit.interval.clusters, 43);
  EXPECT_THAT(fit.interval.method, HasSubstr("CR2"));
  ExpectBounds(fit, "alpha", 0.3188, 0.4018, 6e-5);
  ExpectBounds(fit, "beta", 0.3602, 0.4516, 6e-5);
  ExpectBounds(fit, "E", 1.8025, 1.9266, 6e-5);
  ExpectBounds(fit, "a", 0.4898, 0.5698, 6e-5);
  EXPECT_NEAR(*fit.Find("a")->df, 19.8, 0.05);
  const double error = (*fit.Find("a")->upper - *fit.Find("a")->estimate) /
                       StudentQuantile(0.975, *fit.Find("a")->df);
  EXPECT_NEAR(error, 0.01916, 6e-6);
}

TEST(IntervalTest, HuberOnChinchillaHasTheReferenceIntervals) {
  FitOptions options;
  options.method = Method::kParametric;
  options.budgets = {1e24};
  options.threads = 2;
  options.resamples = 20000;  // the default 4000 scatter by .001
  const FitReport report = FitOrDie(Chinchilla240(), options);
  const MethodFit& fit = report.fits.front();
  EXPECT_EQ(fit.interval.method, "cluster bootstrap, percentile");
  EXPECT_EQ(fit.interval.clusters, 43);
  ExpectBounds(fit, "alpha", 0.311, 0.380, 0.002);
  ExpectBounds(fit, "beta", 0.330, 0.408, 0.002);
  ExpectBounds(fit, "E", 1.763, 1.871, 0.002);
  ExpectBounds(fit, "a", 0.477, 0.557, 0.002);
  ASSERT_EQ(report.predictions.size(), 1u);
  ASSERT_FALSE(report.predictions[0].not_usable) << *report.predictions[0].not_usable;
  EXPECT_NEAR(*report.predictions[0].loss.lower, 1.931, 0.002);
  EXPECT_NEAR(*report.predictions[0].loss.upper, 1.990, 0.002);
  EXPECT_GT(report.predictions[0].decades_outside, 1.5);
}

// The definition, with n x n matrices, against the p x p algebra that is used.
TEST(Cr2Test, MatchesItsDefinition) {
  const Views views = MakeViews(GridSweep(3, {9, 5, 0.004, 0.003}), {}, false);
  const Sample& sample = views.all.front().sample;
  const Problem problem{&FindLaw(LawKind::kStandard), {ObjectiveKind::kLsqLog, 0}, 0};
  const Theta theta = FindOptimum(problem, sample).theta;
  const int n = static_cast<int>(sample.size()), p = 5;
  Eigen::MatrixXd j(n, p);
  Eigen::VectorXd r(n);
  for (int i = 0; i < n; ++i) {
    Theta gradient;
    r[i] = Residual(*problem.law, problem.objective, sample, theta, i, &gradient);
    j.row(i) = gradient.head(p);
  }
  const Eigen::MatrixXd b = (j.transpose() * j).inverse();
  const Eigen::MatrixXd annihilator = Eigen::MatrixXd::Identity(n, n) - j * b * j.transpose();
  const std::vector<Quantity> quantities = LawQuantities(*problem.law);
  const Cr2 fast = ComputeCr2(problem, sample, views.clusters, theta, quantities, nullptr);
  for (size_t k = 0; k < quantities.size(); ++k) {
    Theta gradient;
    quantities[k].Value(*problem.law, sample, theta, &gradient);
    const Eigen::VectorXd g = gradient.head(p);
    double variance = 0;
    Eigen::MatrixXd u(n, views.clusters.count);
    const auto members = views.clusters.Members();
    for (int c = 0; c < views.clusters.count; ++c) {
      const int m = static_cast<int>(members[c].size());
      Eigen::MatrixXd own(m, p), columns(n, m);
      Eigen::VectorXd rest(m);
      for (int i = 0; i < m; ++i) {
        own.row(i) = j.row(members[c][i]);
        rest[i] = r[members[c][i]];
        columns.col(i) = annihilator.col(members[c][i]);
      }
      const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(Eigen::MatrixXd::Identity(m, m) -
                                                                 own * b * own.transpose());
      const Eigen::MatrixXd a = eigen.eigenvectors() *
                                eigen.eigenvalues().cwiseInverse().cwiseSqrt().asDiagonal() *
                                eigen.eigenvectors().transpose();
      const double part = g.dot(b * own.transpose() * a * rest);
      variance += part * part;
      u.col(c) = columns * (a * own * b * g);
      const Eigen::VectorXd adjusted = a * rest;
      for (int i = 0; i < m; ++i) {
        EXPECT_NEAR(fast.adjusted[members[c][i]], adjusted[i], 1e-12);
      }
    }
    const Eigen::MatrixXd q = u.transpose() * u;
    const double df = q.trace() * q.trace() / q.squaredNorm();
    EXPECT_NEAR(fast.error[k], std::sqrt(variance), 1e-9 * std::sqrt(variance));
    EXPECT_NEAR(fast.df[k], df, 1e-8 * df) << quantities[k].name();
  }
}

TEST(QuantityTest, GradientsMatchFiniteDifferences) {
  const Views views = MakeViews(GridSweep(3, {}), {}, false);
  const Sample& sample = views.all.front().sample;
  for (LawKind kind : {LawKind::kStandard, LawKind::kCoupled}) {
    const Law& law = FindLaw(kind);
    Theta theta =
        FindOptimum({&FindLaw(LawKind::kStandard), {ObjectiveKind::kLsqLog, 0}, 0}, sample).theta;
    theta[kLogGamma] = 0.1;
    Cost cost;
    cost.s = 0.9, cost.log_k = 3;
    std::vector<Quantity> quantities = LawQuantities(law);
    for (const Quantity& q : BudgetQuantities({1e21}, cost)) quantities.push_back(q);
    for (const Quantity& q : quantities) {
      Theta gradient;
      q.Value(law, sample, theta, &gradient);
      for (int i = 0; i < law.free; ++i) {
        Theta up = theta, down = theta;
        up[i] += 1e-6, down[i] -= 1e-6;
        const double slope =
            (q.Value(law, sample, up, nullptr) - q.Value(law, sample, down, nullptr)) / 2e-6;
        EXPECT_NEAR(gradient[i], slope, 1e-6 * (1 + std::abs(slope))) << q.name() << " " << i;
      }
    }
  }
}

// N* against brute force, under 6 N D and under another cost.
TEST(QuantityTest, BestParamsMinimisesTheLawAtFixedCompute) {
  const Views views = MakeViews(ReadData("synthetic_asymmetric_noisefree.csv"), {}, false);
  const Sample& sample = views.all.front().sample;
  const Law& law = FindLaw(LawKind::kStandard);
  const Theta theta = FindOptimum({&law, {ObjectiveKind::kLsqLog, 0}, 0}, sample).theta;
  Cost attention;
  attention.s = 0.85, attention.log_k = std::log(40.0);
  for (const Cost& cost : {Cost(), attention}) {
    const double flops = 1e20, budget = std::log(flops) - cost.log_k;
    double best = 1e300, best_log_params = 0;
    for (double log_params = 8; log_params < 30; log_params += 1e-4) {
      const double log_loss = LogLossAt(law, theta, log_params - sample.x_center,
                                        budget - cost.s * log_params - sample.y_center, nullptr);
      if (log_loss < best) best = log_loss, best_log_params = log_params;
    }
    const std::vector<Quantity> q = BudgetQuantities({flops}, cost);
    EXPECT_NEAR(q[0].Value(law, sample, theta, nullptr), best_log_params, 2e-4);
    EXPECT_NEAR(q[1].Value(law, sample, theta, nullptr), budget - cost.s * best_log_params, 2e-4);
    EXPECT_NEAR(q[2].Value(law, sample, theta, nullptr), std::exp(best), 1e-8);
  }
}

TEST(IntervalTest, FewerThanFiveClustersGiveNoBoundsAndSayWhy) {
  FitOptions options;
  const MethodFit fit = Parametric(GridSweep(1, {4, 12, 0.004}), options);
  EXPECT_FALSE(fit.refused);
  EXPECT_EQ(fit.interval.clusters, 4);
  EXPECT_EQ(fit.interval.method, "none");
  EXPECT_THAT(fit.interval.reason, HasSubstr("4 clusters"));
  for (const NamedEstimate& parameter : fit.parameters) {
    EXPECT_TRUE(parameter.value.estimate);
    EXPECT_FALSE(parameter.value.lower || parameter.value.upper || parameter.value.df);
  }
}

TEST(IntervalTest, HuberWithFewSizesUsesTheJackknife) {
  const MethodFit fit = Parametric(GridSweep(1, {9, 8, 0.01, 0.01}), {});
  EXPECT_THAT(fit.interval.method, HasSubstr("jackknife"));
  EXPECT_EQ(fit.interval.resamples, 9);
  EXPECT_EQ(*fit.Find("alpha")->df, 8);
}

TEST(IntervalTest, HuberWithDeltaAboveTheNoiseUsesCr2) {
  FitOptions options;
  options.delta = 0.05;
  const Observations sweep = GridSweep(1, {9, 8, 0.004});
  const MethodFit huber = Parametric(sweep, options);
  EXPECT_THAT(huber.interval.method, HasSubstr("CR2 of psi"));
  options.objective = ObjectiveKind::kLsqLog;
  const MethodFit squares = Parametric(sweep, options);
  // delta is 12 standard deviations: both are least squares.
  EXPECT_NEAR(*huber.Find("a")->lower, *squares.Find("a")->lower, 1e-9);
}

// Exactly, and on that side alone; logarithmic quantities by a ratio.
TEST(IntervalTest, IsLengthenedByTheDifferenceToAnotherFit) {
  const Views views = MakeViews(GridSweep(4, {9, 8, 0.003, 0.003}), {}, false);
  const Sample& sample = views.all.front().sample;
  const Problem problem{&FindLaw(LawKind::kStandard), {ObjectiveKind::kLsqLog, 0}, 0};
  const Optimum optimum = FindOptimum(problem, sample);
  const std::vector<Quantity> quantities = {{QuantityKind::kAlpha, 0, {}},
                                            {QuantityKind::kBeta, 0, {}},
                                            {QuantityKind::kLogParams, 1e22, {}}};
  IntervalOptions options;
  const Intervals plain =
      MakeIntervals(problem, sample, views.clusters, optimum, quantities, options);
  options.other = optimum.theta;
  (*options.other)[kAlpha] -= 0.01;
  (*options.other)[kBeta] += 0.02;
  const Intervals lengthened =
      MakeIntervals(problem, sample, views.clusters, optimum, quantities, options);
  const auto moved = [&](int k) {
    const Estimate &from = plain.estimates[k], &to = lengthened.estimates[k];
    return std::pair(*from.lower - *to.lower, *to.upper - *from.upper);
  };
  EXPECT_NEAR(moved(0).first, 0.01, 1e-12);
  EXPECT_EQ(moved(0).second, 0);
  EXPECT_EQ(moved(1).first, 0);
  EXPECT_NEAR(moved(1).second, 0.02, 1e-12);
  const auto best = [&](const Theta& at) {
    return std::exp(quantities[2].Value(*problem.law, sample, at, nullptr));
  };
  const double ratio = best(*options.other) / best(optimum.theta);
  ASSERT_NE(ratio, 1);
  const Estimate &from = plain.estimates[2], &to = lengthened.estimates[2];
  EXPECT_NEAR(*to.lower / *from.lower, std::min(ratio, 1.0), 1e-12);
  EXPECT_NEAR(*to.upper / *from.upper, std::max(ratio, 1.0), 1e-12);
  EXPECT_THAT(lengthened.summary.method, HasSubstr("lengthened by the difference to a window"));
}

TEST(IntervalTest, ThreadsDoNotChangeABit) {
  FitOptions options;
  options.budgets = {1e22};
  options.resamples = 50;
  std::string first;
  for (int threads : {1, 2, 5}) {
    options.threads = threads;
    const std::string json = ReportJson(FitOrDie(CurveSweep(4, 8, 40), options));
    if (first.empty()) first = json;
    EXPECT_EQ(json, first) << threads;
  }
}

TEST(IntervalTest, SeedChangesTheBootstrapAndNothingElse) {
  FitOptions one, two;
  one.resamples = two.resamples = 200;
  two.seed = 1;
  const MethodFit a = Parametric(Chinchilla240(), one), b = Parametric(Chinchilla240(), two);
  EXPECT_EQ(Value(a, "alpha"), Value(b, "alpha"));
  EXPECT_NE(*a.Find("alpha")->lower, *b.Find("alpha")->lower);
}

// Iid resampling of points that share their errors is the field's most common mistake.
TEST(IntervalTest, IgnoringClustersIsNarrowerAndSaysSo) {
  FitOptions clustered, none;
  clustered.objective = none.objective = ObjectiveKind::kLsqLog;
  none.cluster = Cluster::kNone;
  const Observations sweep = GridSweep(2, {9, 30, 0.002, 0.006});
  const MethodFit wide = Parametric(sweep, clustered), narrow = Parametric(sweep, none);
  EXPECT_LT(2 * (*narrow.Find("a")->upper - *narrow.Find("a")->lower),
            *wide.Find("a")->upper - *wide.Find("a")->lower);
  EXPECT_GT(*wide.interval.intraclass_correlation, 0.5);
  EXPECT_EQ(narrow.interval.cluster_by, "none");
  EXPECT_THAT(narrow.notes, ::testing::Contains(HasSubstr("independent")));
}

// For squares the profile of a linear-looking parameter is nearly the classical interval.
TEST(ProfileTest, MatchesClassicalWidthForSmallIndependentNoise) {
  FitOptions options;
  options.objective = ObjectiveKind::kLsqLog;
  options.profile = true;
  const Observations sweep = GridSweep(5, {9, 8, 1e-4});
  const MethodFit fit = Parametric(sweep, options);
  const Views views = MakeViews(sweep, options, false);
  const Sample& sample = views.all.front().sample;
  const Problem problem{&FindLaw(LawKind::kStandard), {ObjectiveKind::kLsqLog, 0}, 0};
  const Optimum optimum = FindOptimum(problem, sample);
  const Eigen::MatrixXd covariance =
      Information(problem, sample, optimum.theta).topLeftCorner(5, 5).inverse();
  const double n = static_cast<double>(sample.size());
  // Wilks' chi-squared against n ln(F / F_min) has no degrees-of-freedom correction.
  const double half =
      std::sqrt(covariance(kAlpha, kAlpha) * optimum.value * (std::exp(3.841458820694124 / n) - 1));
  for (const NamedEstimate& one : fit.profile) {
    if (one.name != "alpha") continue;
    EXPECT_NEAR(*one.value.upper - *one.value.estimate, half, 0.01 * half);
    EXPECT_NEAR(*one.value.estimate - *one.value.lower, half, 0.01 * half);
  }
  EXPECT_EQ(fit.profile.size(), 7u);
  EXPECT_THAT(ReportJson(FitOrDie(sweep, options)), HasSubstr("independent errors only"));
}

TEST(ProfileTest, EveryObjectiveHasAProfileAroundItsEstimate) {
  for (ObjectiveKind kind : {ObjectiveKind::kHuber, ObjectiveKind::kLsq, ObjectiveKind::kLad}) {
    FitOptions options;
    options.objective = kind;
    options.profile = true;
    options.resamples = 1;
    for (const NamedEstimate& one : Parametric(Chinchilla240(), options).profile) {
      ASSERT_TRUE(one.value.lower && one.value.upper) << Name(kind) << " " << one.name;
      EXPECT_LT(*one.value.lower, *one.value.estimate) << Name(kind) << " " << one.name;
      EXPECT_GT(*one.value.upper, *one.value.estimate) << Name(kind) << " " << one.name;
    }
  }
}

TEST(ClusterTest, SizesWithinATenthOfAPercentAreOne) {
  Observations data;
  for (double params : {1e8, 1.0005e8, 1.0009e8, 1.2e8, 1.2011e8 * 1.001}) {
    Observation point;
    point.params = params, point.tokens = 1e9, point.loss = 3;
    data.Add(point);
  }
  EXPECT_EQ(MakeClusters(data.points(), Cluster::kParams).count, 3);
  EXPECT_EQ(MakeClusters(data.points(), Cluster::kNone).count, 5);
}

TEST(ClusterTest, RunsClusterWhereEverySizeHasOnePoint) {
  Observations data;
  for (int i = 0; i < 12; ++i) {
    Observation point;
    point.params = 1e8 * std::pow(1.1, i), point.tokens = 1e9, point.loss = 3;
    data.Add(point, i % 2 ? "odd" : "even");
  }
  const Clusters clusters = MakeClusters(data.points(), Cluster::kParams);
  EXPECT_EQ(clusters.count, 2);
  EXPECT_EQ(clusters.by, "run");
}

}  // namespace
}  // namespace allometry::fitting
