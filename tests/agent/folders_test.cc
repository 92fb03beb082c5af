#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/builders.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "worker/agent/run_root.h"
#include "worker/agent/state_dir.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::LeaseOf;
using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

TEST(StateDirTest, TheAgentKeepsItsIdentity) {
  const TemporaryFolder folder;
  std::string id;
  {
    ASSERT_OK_AND_ASSIGN(const StateDir state, StateDir::Open(folder.path() + "/state"));
    id = state.agent_id();
    EXPECT_THAT(id, MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-"
                                 "[0-9a-f]{12}"));
  }
  ASSERT_OK_AND_ASSIGN(const StateDir state, StateDir::Open(folder.path() + "/state"));
  EXPECT_EQ(state.agent_id(), id);
}

TEST(StateDirTest, ASecondAgentIsRefusedUntilTheFirstIsGone) {
  const TemporaryFolder folder;
  {
    ASSERT_OK_AND_ASSIGN(const StateDir first, StateDir::Open(folder.path()));
    EXPECT_THAT(StateDir::Open(folder.path()).status(),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--state-dir")));
  }
  EXPECT_THAT(StateDir::Open(folder.path()).status(), IsOk());
}

TEST(StateDirTest, ARemovedLockFileLetsNobodyIn) {
  const TemporaryFolder folder;
  ASSERT_OK_AND_ASSIGN(const StateDir first, StateDir::Open(folder.path()));
  std::filesystem::remove(folder.path() + "/lock");
  EXPECT_THAT(StateDir::Open(folder.path()).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("in use")));
}

TEST(StateDirTest, WhatIsHeldAndNestedDeeplyIsDataLoss) {
  const TemporaryFolder folder;
  ASSERT_OK_AND_ASSIGN(const StateDir state, StateDir::Open(folder.path()));
  ASSERT_THAT(WriteFileAtomically(folder.path() + "/held.json", std::string(100'000, '[')), IsOk());
  EXPECT_THAT(state.ReadHeld().status(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(RunRootTest, IsNotThereAnyMoreWhereItWasReplaced) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/runs";
  ASSERT_OK_AND_ASSIGN(const RunRoot root, RunRoot::Open(path));
  EXPECT_THAT(root.Check(), IsOk());
  std::filesystem::rename(path, folder.path() + "/moved");
  EXPECT_THAT(root.Check(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
  ASSERT_OK_AND_ASSIGN(const RunRoot other, RunRoot::Open(path));
  EXPECT_THAT(root.Check(), StatusIs(absl::StatusCode::kNotFound));
  std::string moved_to;
  EXPECT_THAT(root.MakeAttemptDir(LeaseOf(1, 1), &moved_to), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(std::filesystem::exists(path + "/run-1"));
}

TEST(RunRootTest, ReplacedFoldersAreRemovedWhenTheyAreOld) {
  const TemporaryFolder folder;
  ASSERT_OK_AND_ASSIGN(const RunRoot root, RunRoot::Open(folder.path()));
  std::string moved_to, nothing;
  ASSERT_THAT(root.MakeAttemptDir(LeaseOf(7, 2), &nothing), IsOk());
  ASSERT_THAT(root.MakeAttemptDir(LeaseOf(7, 2), &moved_to), IsOk());
  std::filesystem::create_directory(folder.path() + "/mine.replaced-by-hand");
  root.RemoveReplaced(/*older_than_s=*/3600);
  EXPECT_TRUE(std::filesystem::exists(moved_to));
  root.RemoveReplaced(/*older_than_s=*/0);
  EXPECT_FALSE(std::filesystem::exists(moved_to));
  EXPECT_TRUE(std::filesystem::exists(folder.path() + "/run-7/attempt-2"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() + "/mine.replaced-by-hand"));
}

TEST(StateDirTest, WhatIsHeldIsReadBack) {
  const TemporaryFolder folder;
  ASSERT_OK_AND_ASSIGN(const StateDir state, StateDir::Open(folder.path()));
  EXPECT_THAT(state.ReadHeld(), IsOkAndHolds(IsEmpty()));
  ASSERT_THAT(state.WriteHeld({LeaseOf(1, 2, "a"), LeaseOf(3, 4, "b")}), IsOk());
  EXPECT_THAT(state.ReadHeld(), IsOkAndHolds(ElementsAre(LeaseOf(1, 2, "a"), LeaseOf(3, 4, "b"))));
  ASSERT_THAT(WriteFileAtomically(folder.path() + "/held.json", "[{\"run_id\":\"x\"}]"), IsOk());
  EXPECT_THAT(state.ReadHeld(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("held.json")));
}

TEST(RunRootTest, TheRootKeepsItsId) {
  const TemporaryFolder folder;
  ASSERT_OK_AND_ASSIGN(const RunRoot first, RunRoot::Open(folder.path() + "/runs"));
  ASSERT_OK_AND_ASSIGN(const RunRoot second, RunRoot::Open(folder.path() + "/runs"));
  EXPECT_THAT(first.id(), MatchesRegex("[0-9a-f]{32}"));
  EXPECT_EQ(first.id(), second.id());
  EXPECT_EQ(first.AttemptName(LeaseOf(7, 2)), first.id() + "/run-7/attempt-2");
}

TEST(RunRootTest, AnAttemptThatIsThereAlreadyIsMovedAsideAndKept) {
  const TemporaryFolder folder;
  ASSERT_OK_AND_ASSIGN(const RunRoot root, RunRoot::Open(folder.path()));
  std::string moved_to;
  ASSERT_THAT(root.MakeAttemptDir(LeaseOf(1, 1), &moved_to), IsOk());
  EXPECT_EQ(moved_to, "");
  ASSERT_THAT(WriteFileAtomically(folder.path() + "/run-1/attempt-1/spool", "old"), IsOk());
  ASSERT_THAT(root.MakeAttemptDir(LeaseOf(1, 1), &moved_to), IsOk());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path() + "/run-1/attempt-1"));
  EXPECT_THAT(ReadFile(moved_to + "/spool"), IsOkAndHolds("old"));
}

class DeleteCheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(MakeDirectories(folder_.path() + "/root/run-1/attempt-2"), IsOk());
    ASSERT_THAT(WriteFileAtomically(Path("root/run-1/attempt-2/" + kName), "x"), IsOk());
    ASSERT_THAT(MakeDirectories(Path("outside/attempt-2")), IsOk());
    ASSERT_THAT(WriteFileAtomically(Path("outside/attempt-2/" + kName), "x"), IsOk());
  }
  std::string Path(const std::string& relative) { return folder_.path() + "/" + relative; }
  absl::Status Delete(const std::string& relative) {
    absl::StatusOr<RunRoot> root = RunRoot::Open(Path("root"));
    return root.ok() ? root->DeleteCheckpoint(relative) : root.status();
  }

  const std::string kName = "checkpoint-000000000100.safetensors";
  const TemporaryFolder folder_;
};

TEST_F(DeleteCheckpointTest, RemovesTheFileAndAcceptsThatItIsGone) {
  EXPECT_THAT(Delete("run-1/attempt-2/" + kName), IsOk());
  EXPECT_FALSE(std::filesystem::exists(Path("root/run-1/attempt-2/" + kName)));
  EXPECT_THAT(Delete("run-1/attempt-2/" + kName), IsOk());
  EXPECT_THAT(Delete("run-9/attempt-2/" + kName), IsOk());
}

TEST_F(DeleteCheckpointTest, RefusesEveryOtherForm) {
  for (const char* path :
       {"run-1/attempt-2/spool", "run-1/attempt-2", "", "/etc/passwd",
        "../outside/attempt-2/checkpoint-000000000100.safetensors",
        "run-1/../run-1/attempt-2/checkpoint-1.safetensors",
        "run-1/attempt-2/../attempt-2/checkpoint-1.safetensors",
        "run-/attempt-2/checkpoint-1.safetensors", "run-1/attempt-2/checkpoint-x.safetensors",
        "run-1/attempt-2//checkpoint-1.safetensors"}) {
    EXPECT_THAT(Delete(path), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a")))
        << path;
  }
}

TEST_F(DeleteCheckpointTest, DoesNotFollowLinksOutOfTheRoot) {
  std::filesystem::create_directory_symlink(Path("outside"), Path("root/run-5"));
  EXPECT_FALSE(Delete("run-5/attempt-2/" + kName).ok());
  EXPECT_TRUE(std::filesystem::exists(Path("outside/attempt-2/" + kName)));
}

}  // namespace
}  // namespace allometry::agent
