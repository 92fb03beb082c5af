#include "cli/scale_rule.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::cli {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

using Jobs = std::map<int64_t, SlurmJob>;
constexpr ScaleLimits kThree{3, 1};

bool Submits(const Jobs& jobs, int64_t waiting, const ScaleLimits& limits = kThree) {
  return DecideScale(jobs, waiting, 0, limits).submit;
}

TEST(ScaleRuleTest, AJobIsSubmittedWhileRunsWaitAndNodesAreLeft) {
  EXPECT_TRUE(Submits({}, 1));
  EXPECT_FALSE(Submits({}, 0));
  EXPECT_FALSE(Submits({}, 4, {3, 5})) << "fewer than the backlog wait";
  EXPECT_TRUE(Submits({{7, {"RUNNING", 1}}}, 1));
  EXPECT_TRUE(Submits({{7, {"RUNNING", 2}}, {6, {"COMPLETED", 9}}}, 1));
  EXPECT_FALSE(Submits({{7, {"RUNNING", 2}}, {8, {"RUNNING", 1}}}, 9));
  EXPECT_FALSE(Submits({{7, {"COMPLETING", 3}}}, 9)) << "its nodes are not free yet";
}

TEST(ScaleRuleTest, OneJobAtATimeWaitsInTheQueue) {
  EXPECT_FALSE(Submits({{7, {"PENDING", 1}}}, 9));
  EXPECT_FALSE(Submits({{7, {"RUNNING", 1}}, {8, {"CONFIGURING", 1}}}, 9));
}

TEST(ScaleRuleTest, ThreeFailuresInARowPause) {
  Jobs jobs = {{1, {"FAILED", 1}}, {2, {"FAILED", 1}}};
  EXPECT_TRUE(Submits(jobs, 1));
  jobs[3] = {"OUT_OF_MEMORY", 1};
  EXPECT_FALSE(Submits(jobs, 1));
  EXPECT_TRUE(DecideScale(jobs, 1, 0, kThree).pause);
  EXPECT_TRUE(DecideScale(jobs, 1, /*failures_forgiven=*/3, kThree).submit);
  jobs[4] = {"COMPLETED", 1};
  EXPECT_TRUE(Submits(jobs, 1)) << "one that ended well is in between";
}

TEST(ScaleRuleTest, CancelledPreemptedAndTimedOutJobsAreNoFailures) {
  EXPECT_TRUE(Submits({{1, {"CANCELLED", 1}}, {2, {"PREEMPTED", 1}}, {3, {"TIMEOUT", 1}}}, 1));
}

TEST(ScaleRuleTest, TheQueueIsReadLineByLine) {
  ASSERT_OK_AND_ASSIGN(const Jobs jobs, ParseQueue("7|RUNNING|2\n 18_3|PENDING|1 \n\n"));
  EXPECT_EQ(jobs.at(7).nodes, 2);
  EXPECT_EQ(jobs.at(18).state, "PENDING");
  for (const char* text : {"x|RUNNING|1", "7|RUNNING", "7|RUNNING|1-2"}) {
    EXPECT_THAT(ParseQueue(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ID|STATE|NODES")))
        << text;
  }
}

}  // namespace
}  // namespace allometry::cli
