// The agent starting ranks through mpirun.
#include <unistd.h>

#include <csignal>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/builders.h"
#include "tests/agent/scripted_coordinator.h"
#include "tests/agent/worker_process.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::HoldOf;
using ::allometry::testing::LeaseOf;
using ::allometry::testing::ScriptedCoordinator;
using ::allometry::testing::SpecOf;
using ::allometry::testing::WorkerProcess;
using ::testing::HasSubstr;

class AgentMpiTest : public ::testing::Test {
 protected:
  ~AgentMpiTest() override {
    if (HasFailure()) std::cerr << worker_.output() << worker_.LogOf(lease_);
  }

  void StartTwoRanks(const std::string& script, int64_t steps) {
    coordinator_.Assign(HoldOf(lease_, SpecOf(script, steps, 2), {"cpu:0", "cpu:1"}));
    worker_.Start();
  }
  pid_t PidOfRank(int rank) {
    pid_t pid = 0;
    const std::string prefix = absl::StrCat("rank ", rank, " pid ");
    coordinator_.Eventually([&](const auto&) {
      const std::string log = worker_.LogOf(lease_);
      for (absl::string_view line : absl::StrSplit(log, '\n')) {
        if (absl::ConsumePrefix(&line, prefix) && absl::SimpleAtoi(line, &pid)) return true;
      }
      return false;
    });
    return pid;
  }
  bool IsRunning() {
    return coordinator_.Eventually(
        [&](const auto& seen) { return seen.RecordsOf(lease_).size() > 5; });
  }
  bool IsGone() {
    return coordinator_.Eventually(
        [&](const auto&) { return worker_.ProcessesOf(lease_).empty(); });
  }

  const Lease lease_ = LeaseOf(1, 1);
  ScriptedCoordinator coordinator_;
  WorkerProcess worker_{coordinator_.address(), "cpu:2"};
};

TEST_F(AgentMpiTest, TwoRanksRunToTheEndAndRankZeroHearsItsLease) {
  StartTwoRanks("succeed", 50);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::SUCCEEDED);
  EXPECT_THAT(worker_.LogOf(lease_), HasSubstr("heard lease "));
  EXPECT_THAT(worker_.LogOf(lease_), HasSubstr("rank 1 pid "));
  EXPECT_TRUE(IsGone());
}

TEST_F(AgentMpiTest, OneKilledRankEndsTheAttemptAsKilled) {
  StartTwoRanks("succeed", 1'000'000);
  ASSERT_TRUE(IsRunning());
  const pid_t rank = PidOfRank(1);
  ASSERT_GT(rank, 0);
  ASSERT_EQ(kill(rank, SIGKILL), 0);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::KILLED);
  EXPECT_TRUE(IsGone());
}

TEST_F(AgentMpiTest, AKilledMpirunLeavesNoRank) {
  StartTwoRanks("succeed", 1'000'000);
  ASSERT_TRUE(IsRunning());
  const pid_t rank = PidOfRank(1);
  ASSERT_GT(rank, 0);
  // mpirun leads the session that all of it is in.
  ASSERT_EQ(kill(getsid(rank), SIGKILL), 0);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::KILLED);
  EXPECT_TRUE(IsGone());
}

TEST_F(AgentMpiTest, PreemptReachesRankZero) {
  StartTwoRanks("succeed", 1'000'000);
  ASSERT_TRUE(IsRunning());
  coordinator_.TellPreempt(lease_);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::PREEMPTED);
  EXPECT_TRUE(IsGone());
}

TEST_F(AgentMpiTest, ADroppedAttemptLeavesNoRank) {
  StartTwoRanks("deaf", 1'000'000);
  ASSERT_TRUE(IsRunning());
  coordinator_.Unassign(lease_);
  EXPECT_TRUE(IsGone());
}

TEST_F(AgentMpiTest, RanksEndWhenTheirAgentIsKilled) {
  StartTwoRanks("deaf", 1'000'000);
  ASSERT_TRUE(IsRunning());
  worker_.Signal(SIGKILL);
  worker_.Wait();
  EXPECT_TRUE(IsGone());
}

}  // namespace
}  // namespace allometry::agent
