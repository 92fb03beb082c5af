#include "fitting/design/pilot.h"

#include <cmath>

#include "fitting/report/fit.h"
#include "gmock/gmock.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/testing/status_matchers.h"

namespace allometry::fitting {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

TEST(PilotTest, ObservationsGiveTheirLawAndTheirErrors) {
  const Truth truth;
  ASSERT_OK_AND_ASSIGN(const Pilot pilot,
                       PilotFromObservations(GridSweep(1, {9, 24, 0.003, 0.002}), "sweep.csv"));
  EXPECT_NEAR(pilot.law.alpha, truth.alpha, 0.03);
  EXPECT_NEAR(pilot.law.floor, truth.floor, 0.05);
  EXPECT_NEAR(pilot.law.Loss(1e8, 1e10), truth.Loss(1e8, 1e10), 0.01);
  EXPECT_NEAR(pilot.noise.sd, std::hypot(0.003, 0.002), 0.001);
  EXPECT_EQ(pilot.source, "the pilot sweep.csv: 216 evaluations of 9 sizes");
}

TEST(PilotTest, ReportOfAFitGivesTheSameLaw) {
  const Observations sweep = GridSweep(1, {9, 24, 0.003, 0.002});
  FitOptions options;
  options.method = Method::kParametric;
  ASSERT_OK_AND_ASSIGN(const FitReport report, Fit(sweep, options));
  ASSERT_OK_AND_ASSIGN(const Pilot pilot, PilotFromReport(ReportJson(report), "fit.json"));
  ASSERT_OK_AND_ASSIGN(const Pilot same, PilotFromObservations(sweep, "sweep.csv"));
  EXPECT_NEAR(pilot.law.alpha, same.law.alpha, 1e-9);
  EXPECT_NEAR(pilot.law.b_term / same.law.b_term, 1, 1e-9);
  // The size of the errors is that of the residuals; that they lean is the default's.
  EXPECT_EQ(pilot.noise.tilt, DefaultPilot().noise.tilt);
  EXPECT_NEAR(pilot.noise.sd * std::sqrt(1 + 2.69 * pilot.noise.tilt), std::hypot(0.003, 0.002),
              0.0012);
}

TEST(PilotTest, RefusedFitIsNoPilotAndSaysWhy) {
  // One size only: alpha is not seen.
  EXPECT_THAT(PilotFromObservations(GridSweep(1, {1, 24, 0.003}), "one"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("a fit of one gives no law to plan with: ")));
}

TEST(PilotTest, WhatIsNoReportIsSaidToBeNone) {
  for (const char* text : {"", "[1, 2]", "{\"fits\": 3}", "{\"fits\": [7]}", "{\"fits\": []}"}) {
    EXPECT_THAT(PilotFromReport(text, "x.json"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("x.json")))
        << text;
  }
  EXPECT_THAT(PilotFromReport("{\"fits\": [{\"method\": \"parametric\", \"objective\": {\"value\": "
                              "1, \"observations\": 9, \"name\": \"lsq-log\"}}]}",
                              "x.json"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("lacks a positive E")));
  EXPECT_THAT(PilotFromReport("{\"fits\": [{\"method\": \"parametric\", \"refused\": \"E at zero\"}"
                              "]}",
                              "x.json"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("E at zero")));
}

}  // namespace
}  // namespace allometry::fitting
