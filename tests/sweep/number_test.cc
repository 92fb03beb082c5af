#include "coordinator/sweep/number.h"

#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(NumberTest, ReadsWhatPeopleWrite) {
  EXPECT_THAT(ParseNumber("5"), IsOkAndHolds(5.0));
  EXPECT_THAT(ParseNumber("5k"), IsOkAndHolds(5000.0));
  EXPECT_THAT(ParseNumber("5K"), IsOkAndHolds(5000.0));
  EXPECT_THAT(ParseNumber("1.2M"), IsOkAndHolds(1200000.0));
  EXPECT_THAT(ParseNumber("7B"), IsOkAndHolds(7e9));
  EXPECT_THAT(ParseNumber("7G"), IsOkAndHolds(7e9));
  EXPECT_THAT(ParseNumber("3.6T"), IsOkAndHolds(3.6e12));
  EXPECT_THAT(ParseNumber("3e10"), IsOkAndHolds(3e10));
  EXPECT_THAT(ParseNumber("3.0E-4"), IsOkAndHolds(3e-4));
  EXPECT_THAT(ParseNumber("3e+2"), IsOkAndHolds(300.0));
  EXPECT_THAT(ParseNumber("1_000_000"), IsOkAndHolds(1e6));
  EXPECT_THAT(ParseNumber("-2.5"), IsOkAndHolds(-2.5));
  EXPECT_THAT(ParseNumber(".5"), IsOkAndHolds(0.5));
}

TEST(NumberTest, ASuffixRoundsOnce) {
  EXPECT_THAT(ParseNumber("0.0003k"), IsOkAndHolds(0.3));
  EXPECT_THAT(ParseNumber("1.1k"), IsOkAndHolds(1100.0));
  EXPECT_THAT(ParseNumber("8.41M"), IsOkAndHolds(8410000.0));
}

TEST(NumberTest, RefusesWhatIsNoNumber) {
  for (const char* text :
       {"",      " ",    "k",    "-",    "-k",   "5 k",  "5x",    "5kk",  "1e3k",
        "1,000", "0x10", "nan",  "NaN",  ".nan", "inf",  ".inf",  "-inf", "+5",
        "_5",    "5_",   "1__0", "1_.5", "1e",   "five", "1.2.3", "--1",  "5\n"}) {
    EXPECT_THAT(ParseNumber(text), StatusIs(kInvalid, HasSubstr("is not a number"))) << text;
  }
  EXPECT_THAT(ParseNumber("5m"), StatusIs(kInvalid, HasSubstr("a million is written M")));
  EXPECT_THAT(ParseNumber("1e999"), StatusIs(kInvalid, HasSubstr("too large")));
  EXPECT_THAT(ParseNumber("-1e999"), StatusIs(kInvalid, HasSubstr("too large")));
}

TEST(NumberTest, WritesShortNumbers) {
  EXPECT_EQ(FormatNumber(3e10), "3e10");
  EXPECT_EQ(FormatNumber(1.25e8), "1.25e8");
  EXPECT_EQ(FormatNumber(4096), "4096");
  EXPECT_EQ(FormatNumber(62.5), "62.5");
  EXPECT_EQ(FormatNumber(2.0 / 3), "0.6667");
  EXPECT_EQ(FormatNumber(1e-8), "1e-8");
}

}  // namespace
}  // namespace allometry::sweep
