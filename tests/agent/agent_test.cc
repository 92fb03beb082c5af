// The agent's binary against a scripted coordinator, with a trainer that trains nothing.
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "absl/strings/str_split.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/builders.h"
#include "tests/agent/scripted_coordinator.h"
#include "tests/agent/worker_process.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/token_dataset.h"
#include "worker/rundir/exit_reason.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::HoldOf;
using ::allometry::testing::IsOk;
using ::allometry::testing::LeaseOf;
using ::allometry::testing::ScriptedCoordinator;
using ::allometry::testing::SpecOf;
using ::allometry::testing::WorkerProcess;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr int64_t kForever = 1'000'000;  // steps

class AgentTest : public ::testing::Test {
 protected:
  ~AgentTest() override {
    if (HasFailure()) std::cerr << worker_.output();
  }

  void Assign(const Lease& lease, const std::string& script, int64_t steps,
              const std::string& device = "cpu:0") {
    coordinator_.Assign(HoldOf(lease, SpecOf(script, steps), {device}, lease_ms_));
  }
  bool HasRecords(const Lease& lease, size_t count) {
    return coordinator_.Eventually(
        [&](const auto& seen) { return seen.RecordsOf(lease).size() >= count; });
  }
  bool IsGone(const Lease& lease) {
    return coordinator_.Eventually([&](const auto&) { return worker_.ProcessesOf(lease).empty(); });
  }
  // Sequence numbers without gaps, and the steps of the points 1, 2, 3, ... once each.
  void ExpectWholeCurve(const Lease& lease, int64_t first_step, int64_t last_step) {
    uint64_t sequence = 0;
    int64_t step = first_step - 1;
    for (const v1::Record& record : coordinator_.RecordsOf(lease)) {
      EXPECT_EQ(record.sequence(), ++sequence);
      if (record.has_point()) {
        EXPECT_EQ(record.point().step(), ++step);
      }
    }
    EXPECT_EQ(step, last_step);
  }

  const int64_t lease_ms_ = 30'000;
  const Lease first_ = LeaseOf(1, 1, "aaaa");
  const Lease second_ = LeaseOf(2, 1, "bbbb");
  ScriptedCoordinator coordinator_;
  WorkerProcess worker_{coordinator_.address(), "cpu:2"};
};

TEST_F(AgentTest, DeliversARunFromStartToEnd) {
  Assign(first_, "succeed", 20);
  Assign(second_, "succeed", 30, "cpu:1");
  worker_.Start();
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::SUCCEEDED);
  EXPECT_EQ(coordinator_.ExitOf(second_).reason(), v1::SUCCEEDED);
  ExpectWholeCurve(first_, 1, 20);
  ExpectWholeCurve(second_, 1, 30);
  EXPECT_TRUE(coordinator_.Eventually([&](const auto& seen) {
    return !seen.IsHeld(first_) && !seen.IsHeld(second_) &&
           seen.last_heartbeat().free_slots_size() == 2;
  }));
  EXPECT_THAT(worker_.LogOf(first_),
              AllOf(HasSubstr("argument --leased\n"), HasSubstr("argument self\n"),
                    HasSubstr("heard lease ")));
  const v1::RegisterRequest registration = coordinator_.registrations().front();
  EXPECT_EQ(registration.slots_size(), 2);
  EXPECT_EQ(registration.slots(1).device(), "cpu:1");
  EXPECT_EQ(registration.run_root_id().size(), 32);
}

TEST_F(AgentTest, TheFirstHeartbeatsOfferEverySlotAndListNothing) {
  worker_.Start();
  EXPECT_TRUE(coordinator_.Eventually(
      [](const auto& seen) { return seen.last_heartbeat().free_slots_size() == 2; }));
  EXPECT_THAT(coordinator_.last_heartbeat().held(), IsEmpty());
}

TEST_F(AgentTest, RepeatedRepliesStartAnAttemptOnce) {
  coordinator_.SetRepeatSpecs(true);
  Assign(first_, "succeed", 100);
  worker_.Start();
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::SUCCEEDED);
  ExpectWholeCurve(first_, 1, 100);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(worker_.RunDir(first_)),
                          std::filesystem::directory_iterator()),
            2)
      << "run.json and attempt-1";
}

TEST_F(AgentTest, AKilledTrainerIsReportedAsKilled) {
  Assign(first_, "succeed", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  for (const pid_t pid : worker_.ProcessesOf(first_)) kill(pid, SIGKILL);
  const v1::ExitRecord exit = coordinator_.ExitOf(first_);
  EXPECT_EQ(exit.reason(), v1::KILLED);
  EXPECT_THAT(exit.message(), AllOf(HasSubstr("signal 9"), HasSubstr("rank 0 pid")));
  EXPECT_GE(exit.step(), 4);
  ExpectWholeCurve(first_, 1, exit.step());
}

TEST_F(AgentTest, ATrainerWithoutALastWordIsJudgedByItsCode) {
  Assign(first_, "silent", 3);
  Assign(second_, "code-76", 3, "cpu:1");
  worker_.Start();
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::BUG);
  EXPECT_EQ(coordinator_.ExitOf(second_).reason(), v1::DISK_FULL);
  EXPECT_THAT(coordinator_.ExitOf(second_).message(), HasSubstr("the last line of the log"));
}

TEST_F(AgentTest, ADamagedSpoolEndsTheAttemptWithTheDamagesPlace) {
  Assign(first_, "damage", kForever);
  worker_.Start();
  const v1::ExitRecord exit = coordinator_.ExitOf(first_);
  EXPECT_EQ(exit.reason(), v1::BUG);
  EXPECT_THAT(exit.message(), AllOf(HasSubstr("spool"), HasSubstr("byte")));
  ExpectWholeCurve(first_, 1, 5);
  EXPECT_TRUE(IsGone(first_));
}

TEST_F(AgentTest, AnAttemptThatCannotStartSaysWhy) {
  coordinator_.Assign(HoldOf(first_, SpecOf("succeed", 3), {"cpu:7"}));
  v1::RunSpec elsewhere = SpecOf("succeed", 30);
  elsewhere.mutable_start()->set_file("attempt-1/checkpoint-000000000020.safetensors");
  elsewhere.mutable_start()->set_root_id("another root");
  coordinator_.Assign(HoldOf(second_, elsewhere, {"cpu:1"}));
  worker_.Start();
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::DEVICE);
  EXPECT_THAT(coordinator_.ExitOf(first_).message(), HasSubstr("cpu:7"));
  EXPECT_EQ(coordinator_.ExitOf(second_).reason(), v1::CHECKPOINT);
  EXPECT_THAT(coordinator_.ExitOf(second_).message(), HasSubstr("another root"));
}

TEST_F(AgentTest, PreemptWritesACheckpointAndEnds) {
  Assign(first_, "succeed", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  coordinator_.TellPreempt(first_);
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::PREEMPTED);
  const std::vector<v1::Record> records = coordinator_.RecordsOf(first_);
  const v1::Checkpoint& checkpoint = records[records.size() - 2].checkpoint();
  EXPECT_EQ(checkpoint.attempt(), 1);
  EXPECT_EQ(checkpoint.root_id(), coordinator_.registrations().front().run_root_id());
  const std::string path = worker_.RunDir(first_) + "/" + checkpoint.file();
  ASSERT_TRUE(std::filesystem::exists(path));
  // And the coordinator may have it deleted.
  coordinator_.Delete("run-1/" + checkpoint.file());
  EXPECT_TRUE(coordinator_.Eventually([&](const auto&) { return !std::filesystem::exists(path); }));
  // And hears that it is gone, once.
  EXPECT_TRUE(coordinator_.Eventually([](const auto& seen) { return !seen.deleted().empty(); }));
  const size_t heartbeats = coordinator_.heartbeats();
  EXPECT_TRUE(coordinator_.Eventually(
      [&](const auto& seen) { return seen.heartbeats() > heartbeats + 2; }));
  EXPECT_THAT(coordinator_.deleted(), ElementsAre("run-1/" + checkpoint.file()));
}

TEST_F(AgentTest, CancelEndsTheAttempt) {
  Assign(first_, "succeed", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  coordinator_.TellCancel(first_);
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::CANCELLED_BY_USER);
}

TEST_F(AgentTest, ATrainerThatDoesNotStopWhenToldIsKilled) {
  Assign(first_, "deaf", kForever);
  worker_.extra_arguments = {"--stop-within", "0.3"};
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  coordinator_.TellCancel(first_);
  const v1::ExitRecord exit = coordinator_.ExitOf(first_);
  EXPECT_EQ(exit.reason(), v1::CANCELLED_BY_USER);
  EXPECT_THAT(exit.message(), HasSubstr("killed before"));
}

TEST_F(AgentTest, APreemptionWithADeadlineKillsWhatDoesNotStopByThen) {
  Assign(first_, "deaf", kForever);
  worker_.Start();  // its own patience is a minute
  ASSERT_TRUE(HasRecords(first_, 5));
  coordinator_.TellPreempt(first_, /*within_ms=*/300);
  const v1::ExitRecord exit = coordinator_.ExitOf(first_);
  EXPECT_EQ(exit.reason(), v1::PREEMPTED);
  EXPECT_THAT(exit.message(), HasSubstr("killed before its checkpoint"));
  EXPECT_TRUE(IsGone(first_));
}

TEST_F(AgentTest, ATrainerThatWasStoppedIsEndedAsStalled) {
  Assign(first_, "succeed", kForever);
  worker_.extra_arguments = {"--stall-factor", "5", "--stall-floor-s", "0.5"};
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 50));
  for (const pid_t pid : worker_.ProcessesOf(first_)) kill(pid, SIGSTOP);
  const v1::ExitRecord exit = coordinator_.ExitOf(first_);
  EXPECT_EQ(exit.reason(), v1::STALLED);
  EXPECT_THAT(exit.message(), AllOf(HasSubstr("no record for"), HasSubstr("rank 0 pid")));
  EXPECT_TRUE(IsGone(first_)) << "a stopped process is killed all the same";
}

TEST_F(AgentTest, AnAgentThatWasStoppedWithItsTrainerAccusesItOfNothing) {
  Assign(first_, "succeed", kForever);
  worker_.extra_arguments = {"--stall-factor", "5", "--stall-floor-s", "4"};
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 50));
  const std::vector<pid_t> trainers = worker_.ProcessesOf(first_);
  worker_.Signal(SIGSTOP);
  for (const pid_t pid : trainers) kill(pid, SIGSTOP);
  sleep(6);
  // The agent looks first, and the trainer is still silent then.
  worker_.Signal(SIGCONT);
  usleep(300'000);
  for (const pid_t pid : trainers) kill(pid, SIGCONT);
  ASSERT_TRUE(HasRecords(first_, coordinator_.RecordsOf(first_).size() + 50));
  EXPECT_FALSE(coordinator_.HasExited(first_));
}

TEST_F(AgentTest, SeveralRunsShareADeviceWhereToldSo) {
  worker_.extra_arguments = {"--runs-per-device", "2"};
  Assign(first_, "succeed", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  EXPECT_EQ(coordinator_.registrations().front().slots(0).runs(), 2);
  EXPECT_GT(coordinator_.registrations().front().slots(0).memory_bytes(), 0);
  EXPECT_EQ(coordinator_.last_heartbeat().free_slots_size(), 2) << "room for one more";
  Assign(second_, "succeed", kForever);
  ASSERT_TRUE(HasRecords(second_, 5));
  EXPECT_FALSE(coordinator_.HasExited(first_));
  EXPECT_TRUE(coordinator_.Eventually([](const auto& seen) {
    return seen.last_heartbeat().free_slots_size() == 1 &&
           seen.last_heartbeat().free_slots(0).device() == "cpu:1";
  }));
}

TEST_F(AgentTest, ADatasetWhoseFilesAreGoneIsNotOfferedAfterATrainerMissedThem) {
  ASSERT_THAT(allometry::testing::WriteTokenDataset(worker_.folder() + "/data", "text", 16,
                                                    allometry::testing::PatternedTokens(600, 16),
                                                    allometry::testing::PatternedTokens(90, 16)),
              IsOk());
  worker_.Start();
  ASSERT_TRUE(coordinator_.Eventually(
      [](const auto& seen) { return seen.last_heartbeat().datasets_size() == 1; }));
  std::filesystem::remove(worker_.folder() + "/data/text/train-00000.npy");
  Assign(first_, absl::StrCat("code-", rundir::ProcessExitCode(rundir::ExitReason::kData)), 3);
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::DATA);
  // At once, and not at the next look ten seconds later.
  EXPECT_TRUE(coordinator_.Eventually(
      [](const auto& seen) { return seen.last_heartbeat().datasets_size() == 0; }));
  EXPECT_THAT(worker_.output(), HasSubstr("dataset text is not offered"));
}

TEST_F(AgentTest, SlurmsSignalTwiceIsNoSecondRequest) {
  Assign(first_, "succeed", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  worker_.Signal(SIGUSR2);
  worker_.Signal(SIGUSR2);
  EXPECT_EQ(worker_.Wait(), 0);
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::PREEMPTED);
}

TEST_F(AgentTest, KilledWhileItStopsATrainerCountsAsPreempted) {
  Assign(first_, "deaf", kForever);
  worker_.Start();
  ASSERT_TRUE(HasRecords(first_, 5));
  coordinator_.TellPreempt(first_);
  ASSERT_TRUE(coordinator_.Eventually([&](const auto&) {
    return worker_.LogOf(first_).find("heard preempt") != std::string::npos;
  }));
  for (const pid_t pid : worker_.ProcessesOf(first_)) kill(pid, SIGTERM);
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::PREEMPTED);
}

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

TEST_F(AgentTest, AnotherHostsCoordinatorNeedsTls) {
  WorkerProcess other("203.0.113.1:7447", "cpu:1");
  other.Start();
  EXPECT_EQ(other.Wait(), 1);
  EXPECT_THAT(other.output(), HasSubstr("--tls-ca"));
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
