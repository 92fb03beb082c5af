// The answer on top of a report, and the rules that the data may break.
#include "fitting/report/conclusion.h"

#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

Estimate Bounded(double estimate, double lower, double upper) {
  return {estimate, lower, upper, 10.0};
}

// A report whose parametric fit is right about GridSweep's data.
class ConclusionTest : public ::testing::Test {
 protected:
  ConclusionTest() {
    MethodFit parametric;
    parametric.method = Method::kParametric;
    parametric.parameters.push_back({"E", Bounded(1.69, 1.6, 1.75)});
    MethodFit frontier;
    frontier.method = Method::kFrontier;
    report_.fits = {parametric, frontier};
    report_.params_policy = "as given";
    report_.flops_convention = "6nd";
    Predict(view_.highest_flops() * 10);
  }

  void Predict(double flops) {
    report_.predictions.clear();
    const double params = truth_.BestParams(flops), tokens = flops / (6 * params);
    for (Method method : {Method::kParametric, Method::kFrontier}) {
      Prediction one;
      one.flops = flops;
      one.method = method;
      one.params = Bounded(params, params / 2, params * 2);
      one.tokens = Bounded(tokens, tokens / 2, tokens * 2);
      if (method == Method::kParametric) {
        one.loss = Bounded(truth_.BestLoss(flops), truth_.BestLoss(flops) - 0.01,
                           truth_.BestLoss(flops) + 0.01);
      }
      report_.predictions.push_back(one);
    }
  }

  const Contradiction* Find(const std::string& rule) {
    Conclude(view_, 0.004, report_);
    for (const Contradiction& one : report_.conclusion.contradictions) {
      if (one.rule == rule) return &one;
    }
    return nullptr;
  }

  const Truth truth_;
  const Views views_ = MakeViews(GridSweep(1, {}), {}, false);
  const DataView& view_ = views_.all.front();
  FitReport report_;
};

TEST_F(ConclusionTest, AFitThatNothingContradictsIsTheAnswer) {
  Conclude(view_, 0.004, report_);
  EXPECT_TRUE(report_.conclusion.contradictions.empty());
  ASSERT_EQ(report_.conclusion.answers.size(), 1u);
  const Answer& answer = report_.conclusion.answers.front();
  EXPECT_EQ(answer.sized_by, Method::kParametric);
  EXPECT_EQ(answer.loss_by, Method::kParametric);
  EXPECT_NEAR(*answer.tokens_per_param.estimate, *answer.tokens.estimate / *answer.params.estimate,
              1e-9);
  EXPECT_TRUE(answer.loss.lower);
  EXPECT_NE(ReportText(report_).find("Contradictions: none"), std::string::npos);
}

TEST_F(ConclusionTest, FloorAboveAMeasuredLossIsNotUsable) {
  double best = 1e9;
  for (const Observation& p : view_.points) best = std::min(best, p.loss);
  report_.fits[0].parameters[0].value = Bounded(best + 1e-6, best - 1, best + 1);
  const Contradiction* found = Find("floor-above-loss");
  ASSERT_NE(found, nullptr);
  EXPECT_TRUE(report_.fits[0].not_usable);
  EXPECT_FALSE(report_.predictions[0].loss.lower) << "the interval of a refuted prediction";
  EXPECT_EQ(report_.conclusion.answers[0].sized_by, Method::kFrontier);
  EXPECT_FALSE(report_.conclusion.answers[0].loss.estimate);
  const std::string text = ReportText(report_);
  EXPECT_NE(text.find("loss not determined"), std::string::npos) << text;
  EXPECT_NE(text.find("NOT USABLE"), std::string::npos) << text;
}

TEST_F(ConclusionTest, FloorBelowEveryLossIsNoContradiction) {
  double best = 1e9;
  for (const Observation& p : view_.points) best = std::min(best, p.loss);
  report_.fits[0].parameters[0].value = Bounded(best - 1e-6, best - 1, best + 1);
  EXPECT_EQ(Find("floor-above-loss"), nullptr);
}

TEST_F(ConclusionTest, PredictionAboveALossMeasuredAtLessComputeIsNotUsable) {
  double best = 1e9;
  for (const Observation& p : view_.points) best = std::min(best, p.loss);
  report_.predictions[0].loss = Bounded(best * 1.02, best * 0.9, best * 1.2);
  EXPECT_NE(Find("prediction-above-loss"), nullptr);
  EXPECT_FALSE(report_.conclusion.answers[0].loss_by);
}

// At a C inside the data the best run may lie below the law by its noise.
TEST_F(ConclusionTest, NoiseIsNoContradiction) {
  Predict(view_.highest_flops());
  double best = 1e9;
  for (const Observation& p : view_.points) best = std::min(best, p.loss);
  report_.predictions[0].loss = Bounded(best * 1.005, best * 0.99, best * 1.02);
  EXPECT_EQ(Find("prediction-above-loss"), nullptr);
}

TEST_F(ConclusionTest, OptimumOutsideTheSizesAtAComputeInsideTheData) {
  Predict(view_.highest_flops() / 100);
  report_.predictions[1].params = Bounded(1e13, 1e12, 1e14);
  const Contradiction* found = Find("optimum-outside-sizes");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->methods, std::vector<std::string>{"frontier"});
  EXPECT_EQ(report_.conclusion.answers[0].sized_by, Method::kParametric);
}

TEST_F(ConclusionTest, BeyondTheDataAnOptimumMayLieBeyondTheSizes) {
  report_.predictions[1].params = Bounded(1e13, 1e12, 1e14);
  EXPECT_EQ(Find("optimum-outside-sizes"), nullptr);
}

TEST_F(ConclusionTest, LackOfFitIsNotUsableAndSaysItsP) {
  report_.lack_of_fit = LackOfFitSummary{0.003, true, "the square of ln D", 0.4};
  ASSERT_NE(Find("lack-of-fit"), nullptr);
  EXPECT_NE(report_.fits[0].not_usable->find("p = 0.003"), std::string::npos);
}

TEST_F(ConclusionTest, MethodsThatDisagreeAreNamedAndNeitherIsCondemned) {
  Agreement agreement;
  agreement.quantity = "params";
  agreement.flops = report_.predictions[0].flops;
  agreement.differences.push_back(
      {"parametric [as given, 6nd]", "frontier [as given, 6nd]", -1.0, -1.4, -0.6, false});
  report_.agreement.push_back(agreement);
  const Contradiction* found = Find("methods-disagree");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->methods, (std::vector<std::string>{"parametric", "frontier"}));
  EXPECT_FALSE(report_.fits[0].not_usable);
  EXPECT_FALSE(report_.fits[1].not_usable);
}

TEST_F(ConclusionTest, AnIntervalOfManyDecadesIsNotAnAnswer) {
  for (Prediction& one : report_.predictions) one.params = Bounded(1e9, 3.7e-20, 5.5e22);
  Conclude(view_, 0.004, report_);
  EXPECT_FALSE(report_.conclusion.answers[0].sized_by);
  const std::string text = ReportText(report_);
  EXPECT_NE(text.find("N not determined"), std::string::npos) << text;
  EXPECT_EQ(text.find("e-20"), std::string::npos) << text;
}

TEST(ConclusionOfFitTest, ACleanSweepHasAnAnswerAndNoContradiction) {
  FitOptions options;
  options.budgets = {1e22};
  const FitReport report = FitOrDie(CurveSweep(3, 12, 60), options);
  EXPECT_TRUE(report.conclusion.contradictions.empty())
      << report.conclusion.contradictions.front().text;
  ASSERT_EQ(report.conclusion.answers.size(), 1u);
  EXPECT_TRUE(report.conclusion.answers[0].sized_by);
  EXPECT_TRUE(report.conclusion.answers[0].loss.lower);
}

TEST(ConclusionOfFitTest, WithoutBudgetsItAnswersAtTenTimesTheLargest) {
  const FitReport report = FitOrDie(CurveSweep(3, 12, 60), {});
  ASSERT_EQ(report.conclusion.answers.size(), 1u);
  EXPECT_NEAR(report.conclusion.answers[0].flops, 10 * 6 * 1e9 * 2e11, 1e12);
  EXPECT_TRUE(report.default_budgets);
}

TEST(ConclusionOfFitTest, ANumberHasOneInterval) {
  FitOptions options;
  options.budgets = {1e22};
  const FitReport report = FitOrDie(CurveSweep(3, 12, 60), options);
  int compared = 0;
  for (const Agreement& agreement : report.agreement) {
    for (const MethodEstimate& row : agreement.estimates) {
      for (const MethodFit& fit : report.fits) {
        const Estimate* own = fit.Find(agreement.quantity);
        if (Name(fit.method) != row.method || own == nullptr) continue;
        EXPECT_EQ(row.value.lower, own->lower) << row.method << " " << agreement.quantity;
        EXPECT_EQ(row.value.upper, own->upper) << row.method << " " << agreement.quantity;
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, 3);
}

}  // namespace
}  // namespace allometry::fitting
