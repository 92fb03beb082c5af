// The agent's binary with a folder on a disk that becomes full, and has room again.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/builders.h"
#include "tests/agent/scripted_coordinator.h"
#include "tests/agent/worker_process.h"
#include "tests/testing/small_disk.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::HoldOf;
using ::allometry::testing::kNoSmallDisk;
using ::allometry::testing::LeaseOf;
using ::allometry::testing::ScriptedCoordinator;
using ::allometry::testing::SpecOf;
using ::allometry::testing::WorkerProcess;
using ::testing::HasSubstr;

// $1: the folder; $2: a file outside of it whose name plus .fill fills the disk, plus .free empties
// it. Then the agent.
constexpr char kOnASmallDisk[] =
    "mkdir -p \"$1\" && mount -t tmpfs -o size=256k none \"$1\" || exit 77\n"
    "folder=$1 word=$2; shift 2\n"
    "until_there() { while [ ! -e \"$1\" ] && kill -0 $$ 2>/dev/null; do sleep 0.02; done; }\n"
    "( until_there \"$word.fill\"\n"
    "  head -c 1000k /dev/zero > \"$folder/filler\" 2>/dev/null; touch \"$word.full\"\n"
    "  until_there \"$word.free\"; rm \"$folder/filler\" ) &\n"
    "exec \"$@\"";

class FullDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // As the wrapper does; the same refusal.
    const std::string probe =
        absl::StrCat("unshare -Urm mount -t tmpfs none ", worker_.folder(), " 2>/dev/null");
    if (std::system(probe.c_str()) != 0) GTEST_SKIP() << kNoSmallDisk;
  }
  ~FullDiskTest() override {
    if (HasFailure()) std::cerr << worker_.output();
  }

  void StartOnASmallDisk(const std::string& folder) {
    worker_.wrapper = {"unshare", "-Urm", "sh", "-c", kOnASmallDisk, "sh", folder, word_};
    worker_.Start();
  }
  void Say(const std::string& what) const { std::ofstream(word_ + "." + what) << "\n"; }
  void Fill() {
    ASSERT_TRUE(coordinator_.Eventually(
        [](const auto& seen) { return seen.last_heartbeat().free_slots_size() == 1; }));
    Say("fill");
    ASSERT_TRUE(coordinator_.Eventually(
        [&](const auto&) { return std::filesystem::exists(word_ + ".full"); }));
  }
  bool HasSaid(const std::string& what) const {
    return coordinator_.Eventually(
        [&](const auto&) { return worker_.output().find(what) != std::string::npos; });
  }

  const Lease lease_ = LeaseOf(1, 1, "aaaa");
  ScriptedCoordinator coordinator_;
  WorkerProcess worker_{coordinator_.address(), "cpu:1"};
  const std::string word_ = worker_.folder() + "/disk";
};

TEST_F(FullDiskTest, WithoutRoomInTheStateDirNothingStartsUntilThereIs) {
  StartOnASmallDisk(worker_.state_dir);
  Fill();
  coordinator_.Assign(HoldOf(lease_, SpecOf("succeed", 20), {"cpu:0"}));
  EXPECT_TRUE(HasSaid("nothing is started"));
  EXPECT_TRUE(HasSaid("No space left on device"));
  EXPECT_FALSE(coordinator_.IsHeld(lease_));
  Say("free");
  EXPECT_EQ(coordinator_.ExitOf(lease_).reason(), v1::SUCCEEDED) << "offered again, started then";
}

TEST_F(FullDiskTest, WithoutRoomInTheRunRootAnAttemptEndsAsDiskFull) {
  StartOnASmallDisk(worker_.folder() + "/runs");
  Fill();
  coordinator_.Assign(HoldOf(lease_, SpecOf("succeed", 20), {"cpu:0"}));
  const v1::ExitRecord exit = coordinator_.ExitOf(lease_);
  EXPECT_EQ(exit.reason(), v1::DISK_FULL);
  EXPECT_THAT(exit.message(), HasSubstr("No space left on device"));
  Say("free");
  coordinator_.Unassign(lease_);
  const Lease next = LeaseOf(1, 2, "bbbb");
  coordinator_.Assign(HoldOf(next, SpecOf("succeed", 20), {"cpu:0"}));
  EXPECT_EQ(coordinator_.ExitOf(next).reason(), v1::SUCCEEDED);
}

}  // namespace
}  // namespace allometry::agent
