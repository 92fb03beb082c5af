#include "base/status.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Not;

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError(absl::StrCat(value, " is odd"));
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  ALLO_ASSIGN_OR_RETURN(const int half, Half(value));
  ALLO_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

absl::Status CheckQuarter(int value) {
  ALLO_RETURN_IF_ERROR(Quarter(value).status());
  return absl::OkStatus();
}

TEST(StatusTest, AssignOrReturnPassesTheValueOrTheFirstError) {
  EXPECT_THAT(Quarter(12), IsOkAndHolds(3));
  EXPECT_THAT(Quarter(12), IsOkAndHolds(Gt(2)));
  EXPECT_THAT(Quarter(6), StatusIs(absl::StatusCode::kInvalidArgument, "3 is odd"));
  EXPECT_THAT(Quarter(6), Not(IsOk()));
}

TEST(StatusTest, AssignOrReturnMovesWhatCannotBeCopied) {
  const auto moved = []() -> absl::StatusOr<int> {
    ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<int> value,
                          absl::StatusOr<std::unique_ptr<int>>(std::make_unique<int>(7)));
    return *value;
  };
  EXPECT_THAT(moved(), IsOkAndHolds(7));
}

TEST(StatusTest, ReturnIfErrorPassesErrorsOnly) {
  EXPECT_THAT(CheckQuarter(8), IsOk());
  EXPECT_THAT(CheckQuarter(7), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("7")));
}

TEST(StatusTest, AnnotateKeepsTheCodeAndLeavesOkAlone) {
  EXPECT_THAT(Annotate(absl::OkStatus(), "a.yaml"), IsOk());
  EXPECT_THAT(Annotate(absl::NotFoundError("no size"), "a.yaml"),
              StatusIs(absl::StatusCode::kNotFound, "a.yaml: no size"));
}

}  // namespace
}  // namespace allometry
