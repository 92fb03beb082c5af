#include "run/exit_reason.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::run {
namespace {

TEST(ExitReasonTest, NamesAndExitCodesAreDistinctAndComeBack) {
  std::set<int> codes;
  for (int value = 1; value <= 19; ++value) {
    const auto reason = static_cast<ExitReason>(value);
    EXPECT_EQ(*ParseExitReason(ExitReasonName(reason)), reason);
    EXPECT_EQ(ReasonOfProcessExitCode(ProcessExitCode(reason)), reason);
    EXPECT_TRUE(codes.insert(ProcessExitCode(reason)).second);
  }
  EXPECT_EQ(ProcessExitCode(ExitReason::kSucceeded), 0);
  EXPECT_EQ(ProcessExitCode(ExitReason::kCancelledByUser), 78);
}

TEST(ExitReasonTest, UnknownExitCodeIsABug) {
  for (int code : {1, 2, 64, 65, 84, 127, 134, 255}) {
    EXPECT_EQ(ReasonOfProcessExitCode(code), ExitReason::kBug) << code;
  }
}

TEST(ExitReasonTest, UnknownNameListsTheKnownOnes) {
  const auto reason = ParseExitReason("OUT_OF_MEMORY");
  EXPECT_EQ(reason.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(reason.status().message()), testing::HasSubstr("DIVERGED, OOM, DATA"));
}

}  // namespace
}  // namespace allometry::run
