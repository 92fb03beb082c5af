#include "base/duration.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

TEST(DurationTest, ReadsTimesWithTheirUnit) {
  EXPECT_THAT(ParseDuration("500ms"), IsOkAndHolds(0.5));
  EXPECT_THAT(ParseDuration("10s"), IsOkAndHolds(10.0));
  EXPECT_THAT(ParseDuration("1.5m"), IsOkAndHolds(90.0));
  EXPECT_THAT(ParseDuration("2 h"), IsOkAndHolds(7200.0));
  EXPECT_THAT(ParseDuration("1d"), IsOkAndHolds(86'400.0));
  EXPECT_THAT(ParseDuration("1e-3s"), IsOkAndHolds(0.001));
  EXPECT_THAT(ParseDuration("0"), IsOkAndHolds(0.0));
  for (const char* text :
       {"10", "s", "-1s", "10w", "", "m s", "1h30m", "0x10s", "1e999s", "infs", "nans", " 5s"}) {
    EXPECT_THAT(ParseDuration(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not a time")))
        << text;
  }
}

TEST(DurationTest, WhatIsWrittenIsReadAgain) {
  EXPECT_EQ(FormatDuration(0), "0s");
  EXPECT_EQ(FormatDuration(0.3), "300ms");
  EXPECT_EQ(FormatDuration(1.5), "1500ms");
  EXPECT_EQ(FormatDuration(30), "30s");
  EXPECT_EQ(FormatDuration(90), "90s");
  EXPECT_EQ(FormatDuration(60), "1m");
  EXPECT_EQ(FormatDuration(7200), "2h");
  EXPECT_EQ(FormatDuration(kSecondsPerYear), "366d");
  for (const double seconds : {0.0, 1e-5, 0.001, 0.0125, 1.0, 59.999, 3600.0, 86'401.0}) {
    EXPECT_THAT(ParseDuration(FormatDuration(seconds)),
                IsOkAndHolds(::testing::DoubleNear(seconds, 1e-9)));
  }
}

}  // namespace
}  // namespace allometry
