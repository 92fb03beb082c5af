// The reference optima, and the ways in which others missed them.
#include "fitting/solve/optimum.h"

#include <ceres/ceres.h>

#include <cmath>

#include "fitting/method/view.h"
#include "fitting/solve/starts.h"
#include "gmock/gmock.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using ::testing::HasSubstr;

constexpr double kHuber240 = 0.0010182740178006;

struct Published {
  bool outliers;  // 245 points instead of 240
  ObjectiveKind objective;
  double value, a_term, b_term, floor, alpha, beta;
};

class ChinchillaTest : public ::testing::TestWithParam<Published> {};

TEST_P(ChinchillaTest, ReachesThePublishedOptimum) {
  const Published& expected = GetParam();
  FitOptions options;
  options.objective = expected.objective;
  options.resamples = 1;
  const MethodFit fit =
      Parametric(expected.outliers ? ReadData("chinchilla_svg.csv") : Chinchilla240(), options);
  EXPECT_FALSE(fit.refused);
  EXPECT_NEAR(*fit.objective.value, expected.value, 1e-10 * expected.value);
  EXPECT_NEAR(Value(fit, "A"), expected.a_term, 1.5e-8 * expected.a_term + 5e-6);
  EXPECT_NEAR(Value(fit, "B"), expected.b_term, 2e-7 * expected.b_term);
  EXPECT_NEAR(Value(fit, "E"), expected.floor, 1e-8);
  EXPECT_NEAR(Value(fit, "alpha"), expected.alpha, 6e-9);
  EXPECT_NEAR(Value(fit, "beta"), expected.beta, 6e-9);
  EXPECT_EQ(fit.certificate.starts, fit.certificate.starts_at_optimum);
  if (expected.objective == ObjectiveKind::kLad) {
    EXPECT_LE(*fit.certificate.gradient_norm, 1);
  } else {
    EXPECT_LE(*fit.certificate.gradient_norm, 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rows, ChinchillaTest,
    ::testing::Values(Published{false, ObjectiveKind::kHuber, kHuber240, 477.82587, 2143.4174,
                                1.817218099, 0.347310498882, 0.367172432628},
                      Published{true, ObjectiveKind::kHuber, 0.0018260105230693, 495.72601,
                                12845.613, 1.891338499, 0.3493128937, 0.4530492956},
                      Published{false, ObjectiveKind::kLsqLog, 0.0114618869917, 593.322102,
                                4875.63781, 1.8645500953, 0.36025279817, 0.40588336186},
                      Published{false, ObjectiveKind::kLsq, 0.0832038076933, 567.805427, 7581.85237,
                                1.8828136133, 0.35761508835, 0.42762062132},
                      Published{false, ObjectiveKind::kLad, 1.12949465362154, 482.00606, 2085.4362,
                                1.81686413, 0.34781307, 0.36585416},
                      Published{true, ObjectiveKind::kLad, 1.93991554200664, 463.28458, 12529.503,
                                1.88537680, 0.34535662, 0.45189207}));

// The objective alone fixes the exponents to 2.5e-6 only: this is the Newton finish's test.
TEST(OptimumTest, ExponentsOfChinchillaAreExactToTheGradient) {
  FitOptions options;
  options.resamples = 1;
  const MethodFit fit = Parametric(Chinchilla240(), options);
  EXPECT_NEAR(Value(fit, "alpha"), 0.347310498882, 1e-11);
  EXPECT_NEAR(Value(fit, "beta"), 0.367172432628, 1e-11);
  EXPECT_NEAR(Value(fit, "a"), 0.51389952, 1e-8);
  EXPECT_LE(*fit.certificate.gradient_norm, 1e-11);
}

class NoiseFreeTest : public ::testing::TestWithParam<std::tuple<const char*, double, double>> {};

TEST_P(NoiseFreeTest, EveryParameterIsExact) {
  const auto& [table, alpha, beta] = GetParam();
  const Observations data = ReadData(std::string("synthetic_") + table + "_noisefree.csv");
  for (ObjectiveKind kind :
       {ObjectiveKind::kHuber, ObjectiveKind::kLsqLog, ObjectiveKind::kLsq, ObjectiveKind::kLad}) {
    FitOptions options;
    options.objective = kind;
    options.resamples = 1;
    const MethodFit fit = Parametric(data, options);
    EXPECT_FALSE(fit.refused) << *fit.refused;
    EXPECT_NEAR(Value(fit, "E"), 1.69, 1.69e-12) << Name(kind);
    EXPECT_NEAR(Value(fit, "A"), 406.4, 406.4e-12) << Name(kind);
    EXPECT_NEAR(Value(fit, "B"), 410.7, 410.7e-12) << Name(kind);
    EXPECT_NEAR(Value(fit, "alpha"), alpha, 1e-12 * alpha) << Name(kind);
    EXPECT_NEAR(Value(fit, "beta"), beta, 1e-12 * beta) << Name(kind);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, NoiseFreeTest,
                         ::testing::Values(std::tuple("symmetric", 0.31, 0.31),
                                           std::tuple("chinchilla", 0.34, 0.28),
                                           std::tuple("asymmetric", 0.465, 0.155)));

Theta At(const Sample& sample, double log_a, double log_b, double floor, double alpha,
         double beta) {
  Theta theta = Theta::Zero();
  theta[kLogA] = log_a - alpha * sample.x_center;
  theta[kLogB] = log_b - beta * sample.y_center;
  theta[kAlpha] = alpha, theta[kBeta] = beta, theta[kLogE] = std::log(floor);
  return theta;
}

class ChinchillaProblem : public ::testing::Test {
 protected:
  const Views views_ = MakeViews(Chinchilla240(), {}, false);
  const Sample& sample_ = views_.all.front().sample;
  const Problem huber_{&FindLaw(LawKind::kStandard), {ObjectiveKind::kHuber, 1e-3}, 0};
};

// scipy's default L-BFGS-B stops 14 % above the optimum from here.
TEST_F(ChinchillaProblem, IsSolvedFromHoffmannsPoint) {
  const Refit refit =
      RefitFrom(huber_, sample_, At(sample_, std::log(406.4), std::log(410.7), 1.69, 0.34, 0.28),
                Box::For(sample_));
  EXPECT_TRUE(refit.converged);
  EXPECT_NEAR(refit.value, kHuber240, 1e-10 * kHuber240);
}

// ln B = 15 is a start that never moved in others' fits; far starts in every coordinate.
TEST_F(ChinchillaProblem, IsSolvedFromFarStarts) {
  for (double log_b : {2.0, 15.0}) {
    for (double alpha : {0.1, 1.0}) {
      for (double beta : {0.1, 1.0}) {
        const Refit refit = RefitFrom(
            huber_, sample_, At(sample_, alpha * 18, log_b, 0.5, alpha, beta), Box::For(sample_));
        EXPECT_NEAR(refit.value, kHuber240, 1e-9 * kHuber240)
            << log_b << " " << alpha << " " << beta;
      }
    }
  }
}

TEST_F(ChinchillaProblem, NoStartOfTheGridEndsBelowTheOptimum) {
  const Optimum optimum = FindOptimum(huber_, sample_);
  for (const Theta& start : ProjectedStarts(huber_, sample_, 50)) {
    const Refit refit = RefitFrom(huber_, sample_, start, Box::For(sample_));
    EXPECT_GE(refit.value, optimum.value * (1 - 1e-12));
  }
}

// ln L - LSE(u, v, ln E), for Ceres to differentiate.
struct Term {
  double x, y, log_loss;
  template <class T>
  bool operator()(const T* p, T* residual) const {
    using std::exp;
    using std::log;
    residual[0] = log_loss - log(exp(p[0] - p[2] * x) + exp(p[1] - p[3] * y) + exp(p[4]));
    return true;
  }
};

// Ceres with its own Huber loss agrees: 2 rho(r^2 / 2) of its convention is 2 h(r).
TEST_F(ChinchillaProblem, CeresFindsTheSameOptimum) {
  const Theta start = At(sample_, std::log(480.0), std::log(2100.0), 1.8, 0.35, 0.36);
  double p[5] = {start[0], start[1], start[2], start[3], start[4]};
  ceres::Problem problem;
  for (size_t i = 0; i < sample_.size(); ++i) {
    problem.AddResidualBlock(new ceres::AutoDiffCostFunction<Term, 1, 5>(
                                 new Term{sample_.x[i], sample_.y[i], sample_.log_loss[i]}),
                             new ceres::HuberLoss(1e-3), p);
  }
  ceres::Solver::Options options;
  options.linear_solver_type = ceres::DENSE_QR;
  options.logging_type = ceres::SILENT;
  options.max_num_iterations = 5000;
  options.function_tolerance = 1e-15;
  options.parameter_tolerance = 1e-15;
  ceres::Solver::Summary summary;
  ceres::Solve(options, &problem, &summary);
  EXPECT_NEAR(summary.final_cost, kHuber240, 1e-8 * kHuber240);
}

TEST(OptimumTest, HuberWithTinyDeltaApproachesLad) {
  FitOptions lad, huber;
  lad.objective = ObjectiveKind::kLad;
  lad.resamples = huber.resamples = 1;
  huber.delta = 5e-9;
  const MethodFit a = Parametric(Chinchilla240(), lad), b = Parametric(Chinchilla240(), huber);
  EXPECT_NEAR(*b.objective.value / huber.delta, *a.objective.value, 1e-6);
  EXPECT_EQ(a.objective.name, "lad");
  EXPECT_EQ(b.objective.name, "huber");
  EXPECT_EQ(*b.objective.delta, 5e-9);
}

TEST(OptimumTest, FloorAtZeroIsRefusedNotReportedAsSuccess) {
  Observations data;
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 6; ++j) {
      Observation point;
      point.params = 1e6 * std::pow(2.0, i), point.tokens = 1e8 * std::pow(3.0, j);
      point.loss = 40 * std::pow(point.params, -0.2) + 90 * std::pow(point.tokens, -0.25) - 0.1;
      data.Add(point);
    }
  }
  const MethodFit fit = Parametric(data, {});
  ASSERT_TRUE(fit.refused);
  EXPECT_THAT(*fit.refused, HasSubstr("E at zero"));
  EXPECT_THAT(fit.certificate.active_bounds, ::testing::ElementsAre("E"));
  for (const NamedEstimate& parameter : fit.parameters) EXPECT_FALSE(parameter.value.lower);
  FitOptions no_floor;
  no_floor.law = LawKind::kNoFloor;
  EXPECT_FALSE(Parametric(data, no_floor).refused);
}

Observations Points(const std::vector<std::array<double, 2>>& params_tokens) {
  Observations data;
  int i = 0;
  for (const auto& [params, tokens] : params_tokens) {
    Observation point;
    point.params = params, point.tokens = tokens;
    point.loss = Truth().Loss(params, tokens) * (1 + 1e-3 * std::sin(7.0 * ++i));
    data.Add(point);
  }
  return data;
}

TEST(OptimumTest, ThreePointsAreRefusedForFiveParameters) {
  const MethodFit fit = Parametric(Points({{1e7, 1e9}, {3e7, 1e9}, {1e8, 3e9}}), {});
  ASSERT_TRUE(fit.refused);
  EXPECT_THAT(*fit.refused, HasSubstr("3 points for 5 parameters: at least 7"));
  EXPECT_TRUE(fit.parameters.empty());
}

TEST(OptimumTest, TwoSizesAreRankDeficient) {
  std::vector<std::array<double, 2>> points;
  for (double params : {1e7, 1e8}) {
    for (double tokens : {1e9, 2e9, 4e9, 8e9, 1.6e10}) points.push_back({params, tokens});
  }
  const MethodFit fit = Parametric(Points(points), {});
  ASSERT_TRUE(fit.refused);
  EXPECT_FALSE(fit.certificate.flat_directions.empty() && fit.certificate.active_bounds.empty());
}

TEST(OptimumTest, IdenticalPointsAreRefused) {
  const MethodFit fit = Parametric(Points(std::vector<std::array<double, 2>>(20, {1e7, 1e9})), {});
  EXPECT_TRUE(fit.refused);
}

TEST(OptimumTest, OneRatioOfTokensToParametersIsRefusedOrWide) {
  std::vector<std::array<double, 2>> points;
  for (int i = 0; i < 12; ++i) {
    const double params = 1e7 * std::pow(1.7, i);
    points.push_back({params, 20 * params});
  }
  FitOptions options;
  options.objective = ObjectiveKind::kLsqLog;
  const MethodFit fit = Parametric(Points(points), options);
  if (fit.refused) return;
  const Estimate* alpha = fit.Find("alpha");
  ASSERT_TRUE(alpha->lower && alpha->upper);
  EXPECT_GT(*alpha->upper - *alpha->lower, 0.1);
}

TEST(OptimumTest, KyoTakanosTableIsCertified) {
  FitOptions options;
  options.resamples = 1;
  const MethodFit fit = Parametric(ReadData("kyo_llm_df.csv"), options);
  EXPECT_EQ(fit.objective.observations, 234);
  EXPECT_LE(*fit.certificate.gradient_norm, 1e-9);
  EXPECT_EQ(fit.certificate.starts, fit.certificate.starts_at_optimum);
}

}  // namespace
}  // namespace allometry::fitting
