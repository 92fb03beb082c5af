#include "data/dataset_writer.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
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
using ::testing::Key;

std::map<std::string, std::string> Contents(const std::string& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    contents[entry.path().filename().string()] = *ReadFile(entry.path().string());
  }
  return contents;
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

TEST(DatasetWriterTest, OpenTakesAwayAnEarlierDatasetAndNothingElse) {
  TemporaryFolder folder;
  const std::vector<uint32_t> tokens = {0, 1, 0};
  ASSERT_OK(WriteTokenDataset(folder.path(), "a", 2, tokens, tokens).status());
  ASSERT_OK(WriteFileAtomically(folder.Path("a/train-00007.npy"), "left by an interrupted make"));
  ASSERT_OK(WriteFileAtomically(folder.Path("a/notes.txt"), "a user's own"));
  DatasetWriter writer(folder.Path("a"), TokenType::kU8);
  ASSERT_OK(writer.Open());
  EXPECT_THAT(Contents(folder.Path("a")), ElementsAre(Key("notes.txt")));
  EXPECT_THAT(ReadManifest(folder.path(), "a"), StatusIs(absl::StatusCode::kNotFound));
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
