// Which run a stored prediction is scored with, and when it is not scored.
#include "coordinator/results/predictions.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::coordinator {
namespace {

using ::testing::HasSubstr;

// C = 6e15 at two decades beyond the data of its fit.
fitting::Prediction Predicted() {
  fitting::Prediction prediction;
  prediction.flops = 6e15;
  prediction.params.estimate = 1e6;
  prediction.tokens.estimate = 1e9;
  prediction.loss = {2.0, 1.9, 2.1, std::nullopt};
  prediction.decades_outside = 2;
  return prediction;
}

void Add(double params, double flops, double loss, fitting::Observations& points) {
  fitting::Observation point;
  point.params = params;
  point.tokens = flops / (6 * params);
  point.loss = loss;
  points.Add(point, "", params == 1e6 ? "1M" : "2M");
}

TEST(PredictionsTest, TheBestRunAtTheBudgetCounts) {
  fitting::Observations points;
  Add(1e6, 6e13, 3.0, points);
  Add(1e6, 5.7e15, 2.08, points);
  Add(2e6, 6.3e15, 2.04, points);
  Add(2e6, 9e15, 1.5, points);  // another budget
  const PredictionScore scored = ScoreAgainst(Predicted(), points);
  ASSERT_TRUE(scored.score) << scored.why_not;
  EXPECT_EQ(scored.size, "2M");
  EXPECT_NEAR(scored.score->loss_error, 0.04, 1e-12);
  EXPECT_TRUE(*scored.score->loss_inside);
  EXPECT_NEAR(scored.score->log10_params, std::log10(2), 1e-12);
}

TEST(PredictionsTest, ItWaitsUntilTheBudgetIsReached) {
  fitting::Observations points;
  Add(1e6, 3e15, 2.2, points);
  const PredictionScore scored = ScoreAgainst(Predicted(), points);
  EXPECT_FALSE(scored.score);
  EXPECT_THAT(scored.why_not, HasSubstr("waits: the largest C so far is 3.00e+15"));
}

TEST(PredictionsTest, WhatTheFitHasSeenIsNoTest) {
  fitting::Observations points;
  Add(1e6, 6e15, 2.0, points);
  fitting::Prediction inside = Predicted();
  inside.decades_outside = 0;
  EXPECT_THAT(ScoreAgainst(inside, points).why_not, HasSubstr("inside the data of its fit"));
  // Data up to 6.0e15, and a prediction 1 % beyond them: that point was in the fit.
  fitting::Prediction edge = Predicted();
  edge.flops = 6.06e15;
  edge.decades_outside = std::log10(1.01);
  EXPECT_FALSE(ScoreAgainst(edge, points).score);
}

TEST(PredictionsTest, MethodsWithoutALossAreNotScored) {
  fitting::Prediction frontier = Predicted();
  frontier.loss = {};
  EXPECT_THAT(ScoreAgainst(frontier, {}).why_not, HasSubstr("no loss was predicted"));
}

}  // namespace
}  // namespace allometry::coordinator
