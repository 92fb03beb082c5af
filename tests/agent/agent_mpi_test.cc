// The agent starting ranks through mpirun.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/builders.h"
#include "tests/agent/scripted_coordinator.h"
#include "tests/agent/worker_process.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "worker/launch/descendants.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::HoldOf;
using ::allometry::testing::LeaseOf;
using ::allometry::testing::ScriptedCoordinator;
using ::allometry::testing::SpecOf;
using ::allometry::testing::WorkerProcess;
using ::testing::AllOf;
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

// A command of a sweep file in place of the trainer, on both hosts. Its process 0 alone logs.
constexpr char kCommand[] = R"(
import os, sys, time
from allometry.trainer import Run
print("process", os.environ["ALLOMETRY_HOST_RANK"], "pid", os.getpid(), "words", *sys.argv[1:], flush=True)
print("variables", *sorted(os.environ), flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execve("/bin/sleep", ["sleep", sys.argv[1]], {})
os.wait()
run = Run.from_environment()
for step in run.steps:
    run.log(step, train=1.0 / step)
    if step in run.evaluation_steps:
        run.log(step, heldout=2.0 / step)
    time.sleep(.01)
    if run.should_stop():
        print("stops", flush=True)
        run.stop(step)
run.finish()
)";

class CommandOnTwoHostsTest : public TwoHostsTest {
 protected:
  CommandOnTwoHostsTest() {
    EXPECT_OK(WriteFileAtomically(folder_.Path("train.py"), kCommand));
    worker_.extra_arguments.push_back("--allow-commands=all");
    setenv("ALLO_SECRET_OF_THE_WORKER", "1", 1);
    setenv("NCCL_DEBUG", "WARN", 1);
    spec_ = SpecOf("auto", 1, 2);
    spec_.mutable_identity()->mutable_shape()->Clear();
    spec_.mutable_identity()->mutable_shape()->set_family("external");
    spec_.mutable_identity()->mutable_shape()->set_context(1);
    spec_.mutable_identity()->set_dataset("external:none,tokens=1000");
    Set("trainer.working_dir", folder_.path().c_str());
    Set("trainer.environment",
        absl::StrCat(R"({"PYTHONPATH": ")", ALLO_SOURCE_DIR, R"(/python"})"));
    PerHost();
  }
  ~CommandOnTwoHostsTest() override {
    unsetenv("ALLO_SECRET_OF_THE_WORKER");
    unsetenv("NCCL_DEBUG");
    for (const pid_t pid : Sleepers()) kill(pid, SIGKILL);
  }
  void Set(const std::string& name, const std::string& value) {
    (*spec_.mutable_identity()->mutable_settings())[name] = value;
  }
  void PerHost() {
    Set("trainer.command", absl::StrCat(R"(["python3", "train.py", ")", sleep_,
                                        R"(", "{hosts}", "{host_rank}", "{host_devices}",)"
                                        R"( "{main_address}", "{main_port}"])"));
    Set("trainer.environment", absl::StrCat(R"({"RANK": "{host_rank}", "WORLD_SIZE": "{hosts}", )",
                                            R"("PYTHONPATH": ")", ALLO_SOURCE_DIR, R"(/python"})"));
  }
  void PerDevice() {
    Set("trainer.command", absl::StrCat(R"(["python3", "train.py", ")", sleep_,
                                        R"(", "{rank}", "{local_rank}", "{devices}"])"));
    Set("trainer.environment",
        absl::StrCat(R"({"PYTHONPATH": ")", ALLO_SOURCE_DIR, R"(/python"})"));
  }
  void StartCommand(int64_t steps) {
    spec_.set_steps(steps);
    spec_.add_evaluation_steps(steps);
    v1::Hold hold = HoldOf(lease_, spec_, {"cpu:0", "cpu:0"}, lease_ms_);
    hold.mutable_slots(0)->set_host("far1");
    hold.mutable_slots(1)->set_host("far2");
    coordinator_.Assign(hold);
    worker_.Start();
  }
  // What each process leaves: without a session, an environment or a parent of the attempt.
  std::vector<pid_t> Sleepers() const {
    std::vector<pid_t> found;
    const std::string line =
        absl::StrCat("sleep", std::string(1, '\0'), sleep_, std::string(1, '\0'));
    for (const launch::Descendant& process : launch::DescendantsOf(1)) {
      if (ReadFile(absl::StrCat("/proc/", process.pid, "/cmdline")).value_or("") == line) {
        found.push_back(process.pid);
      }
    }
    return found;
  }
  bool BothRun() {
    return IsRunning() &&
           coordinator_.Eventually([&](const auto&) { return Sleepers().size() == 2; });
  }
  bool AllGone() {
    return IsGone() && coordinator_.Eventually([&](const auto&) { return Sleepers().empty(); });
  }

  const std::string sleep_ = absl::StrCat("1000.", getpid());
  v1::RunSpec spec_;
  int64_t lease_ms_ = 30'000;
};

TEST_F(CommandOnTwoHostsTest, OneOnEachHostKnowsItsPlaceAndIsToldNothingElse) {
  StartCommand(50);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::SUCCEEDED);
  const std::string log = worker_.LogOf(lease_);
  EXPECT_THAT(log, ::testing::ContainsRegex(
                       "process 0 pid [0-9]+ words [0-9.]+ 2 0 1 far1 [23][0-9]{4}\n"));
  EXPECT_THAT(log, ::testing::ContainsRegex(
                       "process 1 pid [0-9]+ words [0-9.]+ 2 1 1 far1 [23][0-9]{4}\n"));
  int processes = 0;
  for (const absl::string_view line : absl::StrSplit(log, '\n')) {
    if (!absl::StartsWith(line, "variables ")) continue;
    ++processes;
    EXPECT_THAT(line, AllOf(HasSubstr(" ALLOMETRY_HOST_RANK "), HasSubstr(" PATH ")));
    for (const char* other : {"ALLO_SECRET", "NCCL_", "OMPI_", "PMIX_"}) {
      EXPECT_THAT(line, ::testing::Not(HasSubstr(other)));
    }
  }
  EXPECT_EQ(processes, 2);
  EXPECT_TRUE(AllGone());
}

TEST_F(CommandOnTwoHostsTest, OneForEachDeviceIsToldItsRank) {
  PerDevice();
  StartCommand(50);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::SUCCEEDED);
  const std::string log = worker_.LogOf(lease_);
  EXPECT_THAT(log, ::testing::ContainsRegex("process 0 pid [0-9]+ words [0-9.]+ 0 0 2\n"));
  EXPECT_THAT(log, ::testing::ContainsRegex("process 1 pid [0-9]+ words [0-9.]+ 1 0 2\n"));
  // What MPI asks for is there, and the worker's own variables are not.
  EXPECT_THAT(
      log, AllOf(HasSubstr(" ALLOMETRY_RANK ALLOMETRY_RANKS "), HasSubstr(" OMPI_COMM_WORLD_RANK "),
                 ::testing::Not(HasSubstr("ALLO_SECRET"))));
  EXPECT_TRUE(AllGone());
}

TEST_F(CommandOnTwoHostsTest, PreemptReachesBothAndNothingIsLeft) {
  StartCommand(1'000'000);
  ASSERT_TRUE(BothRun());
  coordinator_.TellPreempt(lease_);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::PREEMPTED);
  const std::string log = worker_.LogOf(lease_);
  const size_t first = log.find("stops");
  ASSERT_NE(first, std::string::npos);
  EXPECT_NE(log.find("stops", first + 1), std::string::npos) << log;
  EXPECT_TRUE(AllGone());
}

TEST_F(CommandOnTwoHostsTest, AKilledProcessOfTheOtherHostEndsTheAttempt) {
  StartCommand(1'000'000);
  ASSERT_TRUE(BothRun());
  const std::string log = worker_.LogOf(lease_);
  int other = 0;
  const size_t at = log.find("process 1 pid ");
  ASSERT_NE(at, std::string::npos);
  ASSERT_TRUE(absl::SimpleAtoi(log.substr(at + 14, log.find(' ', at + 14) - at - 14), &other));
  ASSERT_EQ(kill(other, SIGKILL), 0);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::KILLED);
  EXPECT_TRUE(AllGone());
}

TEST_F(CommandOnTwoHostsTest, KilledSupervisorsAndMpirunLeaveNothing) {
  StartCommand(1'000'000);
  ASSERT_TRUE(BothRun());
  for (const pid_t pid : worker_.ProcessesOf(lease_)) kill(pid, SIGKILL);
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::KILLED);
  EXPECT_TRUE(AllGone());
}

TEST_F(CommandOnTwoHostsTest, AKilledWorkerLeavesNothingOnEitherHost) {
  StartCommand(1'000'000);
  ASSERT_TRUE(BothRun());
  worker_.Signal(SIGKILL);
  worker_.Wait();
  EXPECT_TRUE(AllGone());
}

TEST_F(CommandOnTwoHostsTest, AnAttemptThatNobodyWantsLeavesNothing) {
  StartCommand(1'000'000);
  ASSERT_TRUE(BothRun());
  coordinator_.Unassign(lease_);
  EXPECT_TRUE(AllGone());
}

// The lease comes to the other host by rank 0's supervisor, and ends there where that one is gone.
TEST_F(CommandOnTwoHostsTest, TheOtherHostsSupervisorHasTheLease) {
  lease_ms_ = 4'000;
  StartCommand(1'000'000);
  ASSERT_TRUE(BothRun());
  EXPECT_TRUE(coordinator_.Eventually([&](const auto&) {
    return absl::StartsWith(ReadFile(worker_.RunDir(lease_) + "/attempt-1/lease").value_or(""),
                            "lease ");
  }));
  // The agent, mpirun and its daemons stand still, as hosts do whose cable is out.
  std::vector<pid_t> stopped;
  for (const pid_t pid : worker_.ProcessesOf(lease_)) {
    const std::string name = ReadFile(absl::StrCat("/proc/", pid, "/comm")).value_or("");
    if (name == "python3\n" || name == "allo-supervisor\n") continue;
    kill(pid, SIGSTOP);
    stopped.push_back(pid);
  }
  worker_.Signal(SIGSTOP);
  EXPECT_TRUE(coordinator_.Eventually([&](const auto&) { return Sleepers().empty(); }));
  worker_.Signal(SIGCONT);
  for (const pid_t pid : stopped) kill(pid, SIGCONT);
}

TEST_F(CommandOnTwoHostsTest, ACommandForOneHostIsRefusedWithASentence) {
  Set("trainer.command", R"(["torchrun", "--nproc-per-node={devices}", "train.py"])");
  Set("trainer.environment", "{}");
  StartCommand(50);
  const v1::ExitRecord exit = coordinator_.ExitOf(lease_);
  EXPECT_EQ(exit.reason(), v1::BUG);
  EXPECT_THAT(exit.message(),
              AllOf(HasSubstr("does not ask for other hosts, and this run's devices are on 2 "
                              "(far1, far2)"),
                    HasSubstr("{rank} to have a process for each device")));
}

TEST_F(CommandOnTwoHostsTest, AFileThatIsAnotherOneIsNamedByTheHostThatHasIt) {
  Set("trainer.files", R"({"train.py": "0123456789abcdef"})");
  StartCommand(50);
  EXPECT_THAT(
      coordinator_.ExitOf(lease_).message(),
      AllOf(HasSubstr("allo-supervisor on "), HasSubstr("train.py, is not as it was submitted")));
}

TEST_F(CommandOnTwoHostsTest, AHostThatDoesNotAnswerIsNodeLostAndGetsNoRuns) {
  std::ofstream(folder_.Path("dead-far2")) << "";
  StartCommand(50);
  const v1::ExitRecord exit = coordinator_.ExitOf(lease_);
  EXPECT_EQ(exit.reason(), v1::NODE_LOST);
  EXPECT_THAT(exit.message(), HasSubstr("far2 does not answer"));
}

}  // namespace
}  // namespace allometry::agent
