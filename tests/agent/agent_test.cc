// What the agent does with its trainers, and what it says of their ends.
#include <unistd.h>

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
#include "tests/testing/status_matchers.h"
#include "tests/testing/token_dataset.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::HoldOf;
using ::allometry::testing::IsOk;
using ::allometry::testing::SpecOf;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kForever = 1'000'000;  // steps

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
  worker_.extra_arguments = {"--stop-within", "300ms"};
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
  worker_.extra_arguments = {"--stall-factor", "5", "--stall-floor", "500ms"};
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
  worker_.extra_arguments = {"--stall-factor", "5", "--stall-floor", "4s"};
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
  EXPECT_TRUE(coordinator_.Eventually([](const auto& seen) {
    return seen.last_heartbeat().free_slots_size() == 2;
  })) << "room for one more";
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
  Assign(first_, absl::StrCat("code-", run::ProcessExitCode(run::ExitReason::kData)), 3);
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

}  // namespace
}  // namespace allometry::agent
