#include "data/dataset_writer.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/staged_folder.h"
#include "data/verify.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/small_disk.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"

namespace allometry::data {
namespace {

using ::allometry::testing::PatternedTokens;
using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::allometry::testing::WriteTokenDataset;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::map<std::string, std::string> Contents(const std::string& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    contents[entry.path().filename().string()] = *ReadFile(entry.path().string());
  }
  return contents;
}

std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(DatasetWriterTest, SameTokensGiveTheSameFilesHoweverTheyAreAppended) {
  TemporaryFolder folder;
  const std::vector<uint32_t> tokens = PatternedTokens(1000, 300);
  const std::span<const uint32_t> all = tokens;
  ASSERT_OK_AND_ASSIGN(Manifest manifest,
                       WriteTokenDataset(folder.path(), "a", 300, all, all.first(90), 128));
  DatasetWriter pieces(folder.Path("b"), TokenType::kU16, 128);
  ASSERT_OK(pieces.Open());
  ASSERT_OK(pieces.Append("heldout", all.first(50)));
  for (size_t i = 0; i < 1000; i += 250) ASSERT_OK(pieces.Append("train", all.subspan(i, 250)));
  ASSERT_OK(pieces.Append("heldout", all.subspan(50, 40)));
  ASSERT_OK_AND_ASSIGN(const Manifest again, pieces.Finish(manifest));
  EXPECT_EQ(again.hash, manifest.hash);
  EXPECT_EQ(Contents(folder.Path("a")), Contents(folder.Path("b")));
  EXPECT_EQ(again.unique_tokens, 1000);
  EXPECT_EQ(again.heldout_tokens, 90);
  EXPECT_EQ(again.shards.size(), 8u + 1u);
}

TEST(DatasetWriterTest, AnEarlierDatasetStaysUntilTheNewOneIsWhole) {
  TemporaryFolder folder;
  const std::vector<uint32_t> tokens = {0, 1, 0}, others = {1, 1, 0, 1};
  ASSERT_OK_AND_ASSIGN(Manifest manifest, WriteTokenDataset(folder.path(), "a", 2, tokens, tokens));
  ASSERT_OK(WriteFileAtomically(folder.Path("a/train-00007.npy"), "left by an interrupted make"));
  ASSERT_OK(WriteFileAtomically(folder.Path("a/tokenizer.json"), "of the old one"));
  ASSERT_OK(WriteFileAtomically(folder.Path("a/notes.txt"), "a user's own"));
  ASSERT_OK(MakeDirectories(folder.Path("a/plots")));
  const auto before = Contents(folder.Path("a"));
  {
    DatasetWriter writer(folder.Path("a"), TokenType::kU8);
    ASSERT_OK(writer.Open());
    ASSERT_OK(writer.Append("train", others));
    EXPECT_EQ(Contents(folder.Path("a")), before);
  }
  EXPECT_EQ(Contents(folder.Path("a")), before) << "a make that was given up";
  EXPECT_THAT(Names(folder.path()), ElementsAre("a"));

  DatasetWriter writer(folder.Path("a"), TokenType::kU8);
  ASSERT_OK(writer.Open());
  ASSERT_OK(writer.Append("train", others));
  ASSERT_OK(writer.Append("heldout", tokens));
  ASSERT_OK_AND_ASSIGN(manifest, writer.Finish(manifest));
  EXPECT_EQ(manifest.unique_tokens, 4);
  EXPECT_THAT(Names(folder.Path("a")), ElementsAre("dataset.json", "heldout-00000.npy", "notes.txt",
                                                   "plots", "train-00000.npy"));
  EXPECT_THAT(Names(folder.path()), ElementsAre("a"));
}

TEST(DatasetWriterTest, AFolderBehindALinkIsReplacedAndTheLinkStays) {
  TemporaryFolder folder;
  const std::vector<uint32_t> tokens = {0, 1, 0}, others = {1, 1, 0, 1};
  ASSERT_OK(MakeDirectories(folder.Path("disk")));
  ASSERT_OK(WriteTokenDataset(folder.Path("disk"), "a", 2, tokens, tokens).status());
  ASSERT_OK(MakeDirectories(folder.Path("data")));
  std::filesystem::create_directory_symlink(folder.Path("disk/a"), folder.Path("data/a"));
  ASSERT_OK(WriteTokenDataset(folder.Path("data"), "a", 2, others, tokens).status());
  EXPECT_TRUE(std::filesystem::is_symlink(folder.Path("data/a")));
  ASSERT_OK_AND_ASSIGN(const Manifest read, ReadManifest(folder.Path("disk"), "a"));
  EXPECT_EQ(read.unique_tokens, 4);
}

// As a file system without RENAME_EXCHANGE leaves it when the machine dies between two renames.
TEST(StagedFolderTest, AHalfDoneReplacementIsUndoneByTheNextLock) {
  TemporaryFolder folder;
  const std::vector<uint32_t> tokens = {0, 1, 0};
  ASSERT_OK(WriteTokenDataset(folder.path(), "a", 2, tokens, tokens).status());
  std::filesystem::rename(folder.Path("a"), folder.Path(".a.old"));
  { ASSERT_OK(FolderLock::Acquire(folder.Path("a")).status()); }
  EXPECT_OK(ReadManifest(folder.path(), "a").status());
  EXPECT_THAT(Names(folder.path()), ElementsAre("a"));
}

// Replaces the dataset over and over in a child that is killed at any time.
TEST(StagedFolderTest, AMakerKilledAtAnyTimeLeavesAWholeDataset) {
  TemporaryFolder folder;
  const std::vector<uint32_t> small = PatternedTokens(1000, 99), large = PatternedTokens(5000, 99);
  ASSERT_OK(WriteTokenDataset(folder.path(), "a", 99, small, small, 128).status());
  int64_t seen_small = 0, seen_large = 0;
  for (int round = 0; round < 40; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      for (bool big = round % 2 == 0;; big = !big) {
        const auto lock = FolderLock::Acquire(folder.Path("a"));
        const auto made =
            WriteTokenDataset(folder.path(), "a", 99, big ? large : small, small, 128);
        if (!lock.ok() || !made.ok()) _exit(1);
      }
    }
    usleep(static_cast<useconds_t>(1000 + 1700 * round));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself in round " << round;
    ASSERT_OK_AND_ASSIGN(const Manifest whole, VerifyDataset(folder.Path("a")));
    (whole.unique_tokens == 1000 ? seen_small : seen_large) += 1;
    ASSERT_OK_AND_ASSIGN(const auto listed, FindDatasets(folder.path()));
    ASSERT_EQ(listed.size(), 1u);
  }
  EXPECT_EQ(seen_small + seen_large, 40);
  { ASSERT_OK(FolderLock::Acquire(folder.Path("a")).status()); }
  ASSERT_OK(WriteTokenDataset(folder.path(), "a", 99, small, small, 128).status());
  EXPECT_THAT(Names(folder.path()), ElementsAre("a")) << "what the killed ones left is gone";
}

TEST(StagedFolderTest, AFullDiskLeavesTheOldDataset) {
  TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    if (!allometry::testing::MountSmallDisk(folder.path(), "256k")) _exit(77);
    const std::vector<uint32_t> small = PatternedTokens(1000, 99);
    const std::vector<uint32_t> large = PatternedTokens(500'000, 99);
    if (!WriteTokenDataset(folder.path(), "a", 99, small, small).ok()) _exit(1);
    const absl::Status full =
        WriteTokenDataset(folder.path(), "a", 99, large, small, 50'000).status();
    if (!absl::IsResourceExhausted(full)) _exit(2);
    if (!VerifyDataset(folder.Path("a")).ok()) _exit(3);
    _exit(Names(folder.path()).size() == 1 ? 0 : 4);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << allometry::testing::kNoSmallDisk;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(StagedFolderTest, AnInputInsideTheFolderIsRefused) {
  TemporaryFolder folder;
  ASSERT_OK(MakeDirectories(folder.Path("data/a")));
  ASSERT_OK(WriteFileAtomically(folder.Path("data/a/text"), "x"));
  ASSERT_OK(WriteFileAtomically(folder.Path("data/ab"), "x"));
  std::filesystem::create_symlink(folder.Path("data/a/text"), folder.Path("link"));
  EXPECT_OK(CheckInputsOutside(folder.Path("data/a"), {folder.Path("data/ab")}));
  for (const char* inside : {"data/a/text", "data/../data/a/text", "link"}) {
    EXPECT_THAT(
        CheckInputsOutside(folder.Path("data/a"), {folder.Path("data/ab"), folder.Path(inside)}),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another --name")))
        << inside;
  }
}

TEST(DatasetWriterTest, ManifestThatCouldNotBeReadBackIsNotWritten) {
  TemporaryFolder folder;
  DatasetWriter writer(folder.Path("a"), TokenType::kU8);
  ASSERT_OK(writer.Open());
  Manifest manifest;
  manifest.name = "../a";
  EXPECT_THAT(writer.Finish(manifest), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(std::filesystem::exists(folder.Path("a/dataset.json")));
}

}  // namespace
}  // namespace allometry::data
