// A host where nothing works takes no runs and says why, until it is mended.
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "gmock/gmock.h"
#include "tests/agent/agent_fixture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/token_dataset.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::HoldOf;
using ::allometry::testing::IsOk;
using ::allometry::testing::PatternedTokens;
using ::allometry::testing::SpecOf;
using ::allometry::testing::WriteTokenDataset;
using ::testing::AllOf;
using ::testing::HasSubstr;

class BadHostTest : public AgentTest {
 protected:
  bool Heartbeat(const std::function<bool(const v1::HeartbeatRequest&)>& condition) {
    return coordinator_.Eventually([&](const auto& seen) {
      return seen.heartbeats() > 0 && condition(seen.last_heartbeat());
    });
  }
  bool TakesNoRunsFor(const std::string& why) {
    return Heartbeat([&](const v1::HeartbeatRequest& heartbeat) {
      return heartbeat.problem().find(why) != std::string::npos && heartbeat.free_slots_size() == 0;
    });
  }
  bool TakesRuns() {
    return Heartbeat([&](const v1::HeartbeatRequest& heartbeat) {
      return heartbeat.problem().empty() && heartbeat.free_slots_size() == 2;
    });
  }
  size_t Offered() { return static_cast<size_t>(coordinator_.last_heartbeat().datasets_size()); }
};

TEST_F(BadHostTest, ATrainerThatCannotStartIsNamedBeforeAnySlotIsOffered) {
  worker_.trainer = "/bin/false";
  worker_.Start();
  EXPECT_TRUE(
      TakesNoRunsFor("its trainer /bin/false does not pass its self-test: ended with code 1"));
  EXPECT_THAT(worker_.output(), HasSubstr("takes no runs: its trainer /bin/false"));
  EXPECT_THAT(worker_.output(), ::testing::Not(HasSubstr("takes runs")));
}

TEST_F(BadHostTest, AProgramOfAnotherMachineIsNamed) {
  worker_.trainer = worker_.folder() + "/trainer";
  ASSERT_THAT(WriteFileAtomically(worker_.trainer,
                                  "\x7f"
                                  "ELF of another machine"),
              IsOk());
  std::filesystem::permissions(worker_.trainer, std::filesystem::perms::owner_all);
  worker_.Start();
  EXPECT_TRUE(TakesNoRunsFor("its trainer cannot be started: ") ||
              TakesNoRunsFor("does not pass its self-test"));
}

TEST_F(BadHostTest, WhatItsTrainerSaysLastIsTheProblemAndItGoesOnOnceMended) {
  ASSERT_THAT(MakeDirectories(worker_.folder() + "/runs"), IsOk());
  const std::string unfit = worker_.folder() + "/runs/unfit";
  ASSERT_THAT(WriteFileAtomically(unfit, "libtorch.so: cannot open shared object file\n}\n"),
              IsOk());
  worker_.Start();
  EXPECT_TRUE(TakesNoRunsFor("ended with code 1: libtorch.so: cannot open shared object file"));
  EXPECT_EQ(coordinator_.registrations().at(0).problem().empty(), false);
  std::filesystem::remove(unfit);
  EXPECT_TRUE(TakesRuns());
  EXPECT_THAT(worker_.output(), HasSubstr("takes runs"));
}

TEST_F(BadHostTest, AfterAnAttemptThatEndedBadlyTheTrainerIsCheckedAgain) {
  worker_.Start();
  ASSERT_TRUE(TakesRuns());
  ASSERT_THAT(WriteFileAtomically(worker_.folder() + "/runs/unfit", "the disk is gone"), IsOk());
  Assign(first_, "code-71", 1);  // BUG
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::BUG);
  EXPECT_THAT(coordinator_.ExitOf(first_).message(),
              AllOf(HasSubstr("ended with code 71: the last line of the log\n")));
  EXPECT_TRUE(TakesNoRunsFor("the disk is gone"));
  std::filesystem::remove(worker_.folder() + "/runs/unfit");
  EXPECT_TRUE(TakesRuns());
}

TEST_F(BadHostTest, AGoodEndAsksNothing) {
  worker_.Start();
  ASSERT_TRUE(TakesRuns());
  Assign(first_, "succeed", 3);
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::SUCCEEDED);
  EXPECT_TRUE(TakesRuns());
  EXPECT_THAT(worker_.output(), ::testing::Not(HasSubstr("checked again")));
}

TEST_F(BadHostTest, AShardThatChangedAfterItWasVerifiedTrainsNothing) {
  const std::string data = worker_.folder() + "/data";
  ASSERT_THAT(WriteTokenDataset(data, "tiny", 16, PatternedTokens(600, 16), PatternedTokens(90, 16))
                  .status(),
              IsOk());
  worker_.Start();
  ASSERT_TRUE(TakesRuns());
  ASSERT_TRUE(Heartbeat([&](const auto& heartbeat) { return heartbeat.datasets_size() == 1; }));
  const std::string shard = data + "/tiny/" + data::ReadManifest(data, "tiny")->shards[0].file;
  const auto bytes = static_cast<size_t>(std::filesystem::file_size(shard));
  std::ofstream(shard, std::ios::binary) << std::string(bytes, 'x');
  v1::RunSpec spec = SpecOf("succeed", 3);
  spec.mutable_identity()->set_dataset("tiny");
  coordinator_.Assign(HoldOf(first_, spec, {"cpu:0"}, lease_ms_));
  EXPECT_EQ(coordinator_.ExitOf(first_).reason(), v1::DATA);
  EXPECT_THAT(coordinator_.ExitOf(first_).message(), HasSubstr(shard));
  EXPECT_TRUE(Heartbeat([&](const auto& heartbeat) { return heartbeat.datasets_size() == 0; }));
}

}  // namespace
}  // namespace allometry::agent
