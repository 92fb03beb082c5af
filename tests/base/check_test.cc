#include "base/check.h"

#include "gtest/gtest.h"

namespace allometry {
namespace {

TEST(CheckDeathTest, FailureNamesPlaceConditionAndText) {
  const int rank = 3;
  EXPECT_DEATH(ALLO_CHECK(rank < 2) << "rank " << rank,
               "check_test.cc:[0-9]+: check failed: rank < 2 rank 3");
}

TEST(CheckTest, TrueConditionEvaluatesOnceAndSaysNothing) {
  int evaluated = 0;
  ALLO_CHECK(++evaluated == 1) << "never " << ++evaluated;
  EXPECT_EQ(evaluated, 1);
}

TEST(CheckTest, IsOneStatementInAnElse) {
  bool other = false;
  if (!other)
    ALLO_CHECK(true);
  else
    other = true;
  EXPECT_FALSE(other);
}

}  // namespace
}  // namespace allometry
