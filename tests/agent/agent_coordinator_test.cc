// The agent and its coordinator: what one of them forgets, misses or is not there for.
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "run/exit_reason.h"
#include "tests/agent/agent_fixture.h"
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
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kForever = 1'000'000;  // steps

TEST_F(AgentTest, WhatIsHeldNoLongerIsEndedAndForgotten) {
  Assign(first_, "deaf", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  coordinator_.Unassign(first_);
  EXPECT_TRUE(IsGone(first_));
  EXPECT_TRUE(coordinator_.Eventually([&](const auto& seen) {
    return !seen.IsHeld(first_) && seen.last_heartbeat().free_slots_size() == 2;
  }));
  EXPECT_FALSE(coordinator_.HasExited(first_));
}

TEST_F(AgentTest, AStaleAckEndsTheTrainer) {
  Assign(first_, "succeed", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  coordinator_.SetMute(true);  // no heartbeat says it too
  coordinator_.GiveAway(first_);
  EXPECT_TRUE(IsGone(first_));
  EXPECT_THAT(worker_.output(), HasSubstr("given away: another agent has it"));
  EXPECT_FALSE(coordinator_.HasExited(first_));
}

TEST_F(AgentTest, TrainingGoesOnWhileTheCoordinatorIsAway) {
  Assign(first_, "succeed", 150);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  coordinator_.Stop();
  // The whole of it happens while nobody listens.
  ASSERT_TRUE(IsGone(first_));
  coordinator_.Start();
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::SUCCEEDED);
  ExpectWholeCurve(first_, 1, 150);
  EXPECT_THAT(worker_.output(), AllOf(HasSubstr("is away ("), HasSubstr("is back after ")));
  EXPECT_THAT(coordinator_.registrations(), SizeIs(1));
}

TEST_F(AgentTest, ForgottenByTheCoordinatorItRegistersAgainAndKeepsWhatItHolds) {
  Assign(first_, "succeed", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  coordinator_.ForgetAgents();
  EXPECT_TRUE(
      coordinator_.Eventually([](const auto& seen) { return seen.registrations().size() == 2; }));
  EXPECT_THAT(coordinator_.registrations()[1].given_back(), IsEmpty());
  ASSERT_TRUE(HasRecords(first_, coordinator_.RecordsOf(first_).size() + 20));
  EXPECT_TRUE(coordinator_.IsHeld(first_));
}

TEST_F(AgentTest, WhatWasNotAcknowledgedIsSentAgain) {
  coordinator_.SetWithholdAcks(true);
  Assign(first_, "succeed", 100);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 20));
  EXPECT_EQ(coordinator_.repeated_records(), 0);
  coordinator_.Stop();
  coordinator_.SetWithholdAcks(false);
  coordinator_.Start();
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::SUCCEEDED);
  EXPECT_GE(coordinator_.repeated_records(), 20);
  ExpectWholeCurve(first_, 1, 100);
}

TEST_F(AgentTest, KilledItsNextLifeEndsTheTrainerAndGivesTheAttemptBack) {
  Assign(first_, "deaf", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  worker_.Signal(SIGKILL);
  EXPECT_EQ(worker_.Wait(), 128 + SIGKILL);
  worker_.Start();
  ASSERT_TRUE(
      coordinator_.Eventually([](const auto& seen) { return seen.registrations().size() == 2; }));
  EXPECT_THAT(worker_.ProcessesOf(first_), IsEmpty()) << "gone before slots are offered";
  const v1::RegisterRequest registration = coordinator_.registrations()[1];
  EXPECT_EQ(registration.agent_id(), coordinator_.registrations()[0].agent_id());
  ASSERT_EQ(registration.given_back_size(), 1);
  EXPECT_EQ(FromProto(registration.given_back(0).lease()), first_);
  EXPECT_EQ(registration.given_back(0).reason(), v1::AGENT_LOST);
  // Its next life works, and a third has nothing to give back.
  const Lease next = LeaseOf(1, 2, "cccc");
  Assign(next, "succeed", 5);
  EXPECT_EQ(coordinator_.ExitOf(next).reason(), v1::SUCCEEDED);
  EXPECT_TRUE(coordinator_.Eventually([&](const auto&) {
    return ReadFile(worker_.state_dir + "/held.json").value_or("") == "[]\n";
  }));
  worker_.Signal(SIGKILL);
  worker_.Wait();
  worker_.Start();
  ASSERT_TRUE(
      coordinator_.Eventually([](const auto& seen) { return seen.registrations().size() == 3; }));
  EXPECT_THAT(coordinator_.registrations()[2].given_back(), IsEmpty());
}

TEST_F(AgentTest, ATrainerEndsByItselfWhenItsAgentIsKilled) {
  Assign(first_, "deaf", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  worker_.Signal(SIGKILL);
  worker_.Wait();
  EXPECT_TRUE(IsGone(first_));
}

TEST_F(AgentTest, StoppedItPreemptsDeliversAndEnds) {
  Assign(first_, "succeed", kForever);
  Assign(second_, "succeed", kForever, "cpu:1");
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5) && HasRecords(second_, 5));
  // A session of its own: Ctrl-C reaches the agent and not the trainer.
  for (const pid_t pid : worker_.ProcessesOf(first_)) EXPECT_EQ(getsid(pid), pid);
  worker_.Signal(SIGTERM);
  EXPECT_EQ(worker_.Wait(), 0);
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::PREEMPTED);
  EXPECT_EQ(coordinator_.ExitOf(second_).reason(), v1::PREEMPTED);
  EXPECT_THAT(coordinator_.last_heartbeat().free_slots(), IsEmpty());
  worker_.Start();
  ASSERT_TRUE(
      coordinator_.Eventually([](const auto& seen) { return seen.registrations().size() == 2; }));
  EXPECT_THAT(coordinator_.registrations()[1].given_back(), IsEmpty());
}

TEST_F(AgentTest, StoppedTwiceItLeavesNoTrainerBehind) {
  Assign(first_, "deaf", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  worker_.Signal(SIGINT);
  ASSERT_TRUE(coordinator_.Eventually(
      [&](const auto&) { return worker_.output().find("stopping") != std::string::npos; }));
  worker_.Signal(SIGINT);
  EXPECT_EQ(worker_.Wait(), 1);
  EXPECT_THAT(worker_.ProcessesOf(first_), IsEmpty());
}

TEST_F(AgentTest, ASecondAgentOnTheSameStateDirIsRefused) {
  worker_.Start();
  ASSERT_TRUE(
      coordinator_.Eventually([](const auto& seen) { return !seen.registrations().empty(); }));
  WorkerProcess other(coordinator_.address(), "cpu:1");
  other.state_dir = worker_.state_dir;
  other.Start();
  EXPECT_EQ(other.Wait(), 1);
  EXPECT_THAT(other.output(), HasSubstr("is in use by another allo-worker (process "));
}

TEST_F(AgentTest, ACoordinatorOnTcpNeedsAToken) {
  WorkerProcess other("203.0.113.1:7447", "cpu:1");
  other.Start();
  EXPECT_EQ(other.Wait(), 2);
  EXPECT_THAT(other.output(), HasSubstr("--token-file"));
}

// "cp -r" of a folder that an agent uses, and a second agent on the copy.
class CopiedFolderTest : public AgentTest {
 protected:
  // What the second agent printed; it must have ended by itself.
  std::string StartOnCopy(const std::string& folder) {
    Assign(first_, "deaf", kForever);
    worker_.Start();
    EXPECT_TRUE(HasRecords(first_, 5));
    WorkerProcess other(coordinator_.address(), "cpu:1");
    other.extra_arguments = {"--host", "another-name"};
    std::filesystem::copy(worker_.folder() + folder, other.folder() + folder,
                          std::filesystem::copy_options::recursive);
    other.Start();
    EXPECT_EQ(other.Wait(), 1);
    EXPECT_THAT(worker_.ProcessesOf(first_), SizeIs(1)) << "the original's trainer goes on";
    EXPECT_TRUE(HasRecords(first_, coordinator_.RecordsOf(first_).size() + 10));
    return other.output();
  }
};

TEST_F(CopiedFolderTest, ACopiedStateDirIsRefusedByNameAndHarmsNothing) {
  const std::string output = StartOnCopy("/state");
  EXPECT_THAT(output, AllOf(HasSubstr("state dir "), HasSubstr("is a copy"),
                            HasSubstr("agent_secret"), HasSubstr("held.json")));
}

TEST_F(CopiedFolderTest, ACopiedRunRootIsRefusedByNameAndHarmsNothing) {
  EXPECT_THAT(StartOnCopy("/runs"),
              AllOf(HasSubstr("run root "), HasSubstr("is a copy"), HasSubstr("root_id")));
}

// Held in its journal, its spool, its log: nothing of it is another user's business.
TEST_F(AgentTest, WhatItWritesIsItsUsersAlone) {
  Assign(first_, "succeed", 50);
  worker_.Start();
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::SUCCEEDED);
  worker_.Signal(SIGTERM);
  EXPECT_EQ(worker_.Wait(), 0);
  int files = 0;
  for (const char* folder : {"/state", "/runs"}) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(worker_.folder() + folder)) {
      struct stat status {};
      ASSERT_EQ(stat(entry.path().c_str(), &status), 0);
      EXPECT_EQ(status.st_mode & 077, 0u) << entry.path();
      ++files;
    }
  }
  EXPECT_GE(files, 8);
}

class HangingCoordinatorTest : public ::testing::Test {
 protected:
  ScriptedCoordinator coordinator_{/*lease_ms=*/3'000};
  WorkerProcess worker_{coordinator_.address(), "cpu:1"};
};

TEST_F(HangingCoordinatorTest, TheTrainerEndsWithItsLeaseAndItsSpoolIsDeliveredLater) {
  const Lease lease = LeaseOf(1, 1);
  coordinator_.Assign(HoldOf(lease, SpecOf("deaf", kForever), {"cpu:0"}, 3'000));
  worker_.Start();
  ASSERT_TRUE(
      coordinator_.Eventually([&](const auto& seen) { return seen.RecordsOf(lease).size() > 5; }));
  coordinator_.SetMute(true);
  ASSERT_TRUE(
      coordinator_.Eventually([&](const auto&) { return worker_.ProcessesOf(lease).empty(); }));
  coordinator_.SetMute(false);
  EXPECT_EQ(coordinator_.ExitOf(lease).reason(), v1::LEASE_LOST);
  EXPECT_TRUE(coordinator_.Eventually([&](const auto& seen) { return !seen.IsHeld(lease); }));
}

TEST_F(HangingCoordinatorTest, AStoppedAgentsTrainerEndsWithItsLease) {
  const Lease lease = LeaseOf(1, 1);
  coordinator_.Assign(HoldOf(lease, SpecOf("deaf", kForever), {"cpu:0"}, 3'000));
  worker_.Start();
  ASSERT_TRUE(
      coordinator_.Eventually([&](const auto& seen) { return seen.RecordsOf(lease).size() > 5; }));
  worker_.Signal(SIGSTOP);
  // A zombie until its agent goes on, and no longer found by its environment.
  EXPECT_TRUE(
      coordinator_.Eventually([&](const auto&) { return worker_.ProcessesOf(lease).empty(); }));
  worker_.Signal(SIGCONT);
  EXPECT_EQ(coordinator_.ExitOf(lease).reason(), v1::LEASE_LOST);
}

}  // namespace
}  // namespace allometry::agent
