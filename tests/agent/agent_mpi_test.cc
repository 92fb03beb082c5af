// The agent starting ranks through mpirun.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/builders.h"
#include "tests/agent/scripted_coordinator.h"
#include "tests/agent/worker_process.h"
#include "tests/testing/temporary_folder.h"

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

// Two hosts that are both this machine: what stands for ssh runs its command here. So what is
// tested is the command line, the variables of each host, the lease's way and the end, and no
// network.
class TwoHostsTest : public AgentMpiTest {
 protected:
  TwoHostsTest() {
    std::ofstream script(ssh_);
    // Options; the host; the command as one text, as sshd gives it to a shell.
    script << "#!/bin/sh\nwhile :; do case $1 in -o) shift 2 ;; -*) shift ;; *) break ;; esac; "
           << "done\n"
           << "[ -e " << folder_.Path("dead-") << "$1 ] && exit 255\n"
           << "echo \"$1\" >>" << folder_.Path("called")
           << "\n"
           // The daemons of two hosts never share a temporary folder, and race where they do.
           << "TMPDIR=" << folder_.Path("") << "$1\nexport TMPDIR\nmkdir -p $TMPDIR\n"
           << "shift\nexec sh -c \"$*\"\n";
    script.close();
    chmod(ssh_.c_str(), 0700);
    worker_.extra_arguments = {"--hosts", "far1:1,far2:1", "--ssh", ssh_, "--launcher", "mpirun"};
  }
  void StartOnBothHosts(const std::string& script, int64_t steps) {
    v1::Hold hold = HoldOf(lease_, SpecOf(script, steps, 2), {"cpu:0", "cpu:0"});
    hold.mutable_slots(0)->set_host("far1");
    hold.mutable_slots(1)->set_host("far2");
    coordinator_.Assign(hold);
    worker_.Start();
  }
  const allometry::testing::TemporaryFolder folder_;
  const std::string ssh_ = folder_.Path("ssh");
};

TEST_F(TwoHostsTest, ARankOnEachRunsToTheEndAndRankZeroHearsItsLease) {
  StartOnBothHosts("succeed", 50);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::SUCCEEDED);
  EXPECT_THAT(worker_.LogOf(lease_), HasSubstr("heard lease "));
  EXPECT_THAT(worker_.LogOf(lease_), HasSubstr("rank 1 pid "));
  EXPECT_THAT(ReadFile(folder_.Path("called")).value_or(""),
              AllOf(HasSubstr("far1\n"), HasSubstr("far2\n")));
  EXPECT_TRUE(IsGone()) << "the mark reached the ranks of both hosts";
}

TEST_F(TwoHostsTest, PreemptReachesRankZero) {
  StartOnBothHosts("succeed", 1'000'000);
  ASSERT_TRUE(IsRunning());
  coordinator_.TellPreempt(lease_);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::PREEMPTED);
  EXPECT_TRUE(IsGone());
}

TEST_F(TwoHostsTest, AHostThatDoesNotAnswerIsNodeLostAndGetsNoRuns) {
  std::ofstream(folder_.Path("dead-far2")) << "";
  StartOnBothHosts("succeed", 50);
  const v1::ExitRecord exit = coordinator_.ExitOf(lease_);
  EXPECT_EQ(exit.reason(), v1::NODE_LOST);
  EXPECT_THAT(exit.message(), HasSubstr("far2 does not answer"));
  EXPECT_TRUE(coordinator_.Eventually([&](const auto& seen) {
    return seen.last_heartbeat().free_slots_size() == 1 &&
           seen.last_heartbeat().free_slots(0).host() == "far1";
  }));
}

}  // namespace
}  // namespace allometry::agent
