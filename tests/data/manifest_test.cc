#include "data/manifest.h"

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
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

using ::allometry::testing::IsOk;
using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::allometry::testing::WriteTokenDataset;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::ordered_json;

Manifest Example() {
  Manifest manifest;
  manifest.name = "tiny";
  manifest.kind = DatasetKind::kText;
  manifest.licence = "public domain";
  manifest.source = "a test";
  manifest.generator = "allo data text 0.1.0";
  manifest.vocabulary = 4;
  manifest.segments = {{.name = "text", .begin = 0, .end = 3},
                       {.name = "end", .begin = 3, .end = 4}};
  manifest.tokenizer = "chars";
  manifest.token_bytes = {std::string(1, '\0'), "\n", "a", "\xff"};
  manifest.tokenizer_hash = TokenizerHash("chars", manifest.token_bytes);
  manifest.shards = {{"train-00000.npy", "train", "u8", 100, 228, "0123456789abcdef"},
                     {"train-00001.npy", "train", "u8", 50, 178, "0123456789abcdef"},
                     {"heldout-00000.npy", "heldout", "u8", 10, 138, "0123456789abcdef"}};
  manifest.documents = 12;
  manifest.unique_tokens = 150;
  manifest.heldout_tokens = 10;
  return manifest;
}

// The example's file after `edit`.
std::string Edited(const std::function<void(Json&)>& edit) {
  Json json = Json::parse(ManifestJson(Example()));
  edit(json);
  return json.dump();
}

auto Refused(const std::vector<std::string>& parts) {
  std::vector<::testing::Matcher<std::string>> has;
  for (const std::string& part : parts) has.emplace_back(HasSubstr(part));
  return StatusIs(absl::StatusCode::kInvalidArgument, ::testing::AllOfArray(has));
}

TEST(ManifestTest, WrittenManifestReadsBackWithEveryField) {
  const Manifest example = Example();
  const std::string json = ManifestJson(example);
  ASSERT_OK_AND_ASSIGN(const Manifest read, ParseManifest(json));
  EXPECT_EQ(ManifestJson(read), json);
  EXPECT_EQ(read.hash, HashHex(json));
  EXPECT_EQ(read.token_bytes, example.token_bytes);
  EXPECT_EQ(read.segments[1].name, "end");
  EXPECT_EQ(read.shards[2].split, "heldout");
  EXPECT_EQ(read.unique_tokens, 150);
}

// What a client sends, or lies in a folder of datasets, may be made to end who reads it.
TEST(ManifestTest, DeepNestingAndLongValuesAreRefusedInAFewWords) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_THAT(ParseManifest(deep), Refused({"64 deep"}));
  EXPECT_THAT(ParseManifest("{\"documents\": " + deep + "}"), Refused({"64 deep"}));
  const absl::Status wrong =
      ParseManifest(Edited([](Json& j) { j["documents"] = std::string(1 << 20, 'x'); })).status();
  EXPECT_THAT(wrong, Refused({"documents is", "not an integer"}));
  EXPECT_LT(wrong.message().size(), 1000u);
}

TEST(ManifestTest, MissingUnknownAndWronglyTypedFieldsAreNamed) {
  EXPECT_THAT(ParseManifest("{"), Refused({"not JSON"}));
  EXPECT_THAT(ParseManifest("[]"), Refused({"is not an object"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j.erase("vocabulary"); })),
              Refused({"vocabulary is missing"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["vocabluary"] = 4; })),
              Refused({"vocabluary is not a field", "vocabulary"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["documents"] = "12"; })),
              Refused({"documents is \"12\", not an integer"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["shards"][1].erase("hash"); })),
              Refused({"shards[1].hash is missing"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["segments"][0]["start"] = 0; })),
              Refused({"segments[0].start is not a field"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["version"] = 2; })),
              Refused({"version is 2", "version 1"}));
}

TEST(ManifestTest, IdsNeverOverlapAndStayInTheVocabulary) {
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["segments"][1]["begin"] = 2; })),
              Refused({"'text' (0 to 3)", "'end' (2 to 4)", "share ids"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["segments"][1]["end"] = 5; })),
              Refused({"'end'", "vocabulary 4"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["segments"][1]["end"] = 3; })),
              Refused({"'end'", "begin < end"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["token_bytes"].erase(0); })),
              Refused({"token_bytes has 3 entries", "4"}));
}

TEST(ManifestTest, TotalsMustBeTheSumsOfTheShards) {
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["unique_tokens"] = 151; })),
              Refused({"unique_tokens is 151", "150"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["heldout_tokens"] = 0; })),
              Refused({"heldout_tokens is 0", "10"}));
}

TEST(ManifestTest, ShardsAreCheckedOneByOne) {
  const auto edited = [](const char* field, Json value) {
    return ParseManifest(Edited([&](Json& j) { j["shards"][0][field] = value; }));
  };
  EXPECT_THAT(edited("file", "../x.npy"), Refused({"'../x.npy'", "plain file name"}));
  EXPECT_THAT(edited("file", "train-00001.npy"), Refused({"'train-00001.npy'", "twice"}));
  EXPECT_THAT(edited("split", "test"), Refused({"'test'", "train and heldout"}));
  EXPECT_THAT(edited("dtype", "i8"), Refused({"'i8'", "u8, u16 and u32"}));
  EXPECT_THAT(edited("tokens", 229), Refused({"228 bytes", "229 tokens"}));
  EXPECT_THAT(edited("hash", "xyz"), Refused({"'xyz'", "16 hexadecimal"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) {
                j["vocabulary"] = 300;
                j["token_bytes"] = Json::array();
              })),
              Refused({"u8", "too narrow", "300"}));
}

TEST(ManifestTest, TokenizerHashDependsOnNameAndBoundaries) {
  EXPECT_EQ(TokenizerHash("chars", {"a", "bc"}), TokenizerHash("chars", {"a", "bc"}));
  EXPECT_NE(TokenizerHash("chars", {"a", "bc"}), TokenizerHash("chars", {"ab", "c"}));
  EXPECT_NE(TokenizerHash("chars", {"a", "bc"}), TokenizerHash("bpe", {"a", "bc"}));
}

TEST(ManifestTest, NamesCannotLeaveTheDataDirectory) {
  for (const char* name : {"", "..", ".hidden", "a/b", "-x", "a b", "a\n"}) {
    EXPECT_FALSE(CheckDatasetName(name).ok()) << name;
  }
  for (const char* name : {"gcide-char", "a", "A.1_b-2"}) EXPECT_OK(CheckDatasetName(name));
  EXPECT_THAT(ReadManifest("/nowhere", "../etc"), Refused({"'../etc'"}));
}

TEST(ManifestTest, MissingDatasetListsThoseThatAreThere) {
  TemporaryFolder folder;
  const std::vector<uint32_t> tokens = {0, 1, 0};
  ASSERT_OK(WriteTokenDataset(folder.path(), "b", 2, tokens, tokens).status());
  ASSERT_OK(WriteTokenDataset(folder.path(), "a", 2, tokens, tokens).status());
  ASSERT_OK(MakeDirectories(folder.Path("interrupted")));
  EXPECT_THAT(ReadManifest(folder.path(), "c"),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("'c'"), HasSubstr("there: a, b"), HasSubstr("allo data"))));
  ASSERT_OK_AND_ASSIGN(const Manifest b, ReadManifest(folder.path(), "b"));
  EXPECT_EQ(b.name, "b");
  ASSERT_OK_AND_ASSIGN(const std::vector<FoundDataset> all, FindDatasets(folder.path()));
  std::vector<std::string> names;
  for (const FoundDataset& found : all) names.push_back(found.manifest->name);
  EXPECT_THAT(names, ElementsAre("a", "b"));
}

TEST(ManifestTest, EachDatasetOfAFolderIsJudgedAlone) {
  TemporaryFolder folder;
  ASSERT_OK_AND_ASSIGN(const std::vector<FoundDataset> none, FindDatasets(folder.path()));
  EXPECT_THAT(none, IsEmpty());
  EXPECT_THAT(FindDatasets(folder.Path("no")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(folder.Path("no"))));
  const std::vector<uint32_t> tokens = {0, 1, 0};
  ASSERT_OK(WriteTokenDataset(folder.path(), "good", 2, tokens, tokens).status());
  ASSERT_OK(MakeDirectories(folder.Path("broken")));
  ASSERT_OK(WriteFileAtomically(folder.Path("broken/dataset.json"), "{}"));
  ASSERT_OK(MakeDirectories(folder.Path("half")));
  ASSERT_OK(WriteFileAtomically(folder.Path("half/dataset.json"), "{\"version\": 1, \"na"));
  ASSERT_OK(MakeDirectories(folder.Path("a folder/dataset.json")));
  std::filesystem::copy(folder.Path("good"), folder.Path("good copy"));
  ASSERT_OK_AND_ASSIGN(const std::vector<FoundDataset> all, FindDatasets(folder.path()));
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].name, "a folder");
  EXPECT_FALSE(all[0].manifest.ok());
  EXPECT_THAT(all[1].manifest, Refused({"broken/dataset.json", "version is missing"}));
  EXPECT_EQ(all[2].name, "good");
  EXPECT_THAT(all[2].manifest.status(), IsOk());
  EXPECT_THAT(all[3].manifest, Refused({"good copy/dataset.json", "rename the folder"}));
  EXPECT_FALSE(all[4].manifest.ok());
}

// Two episodes of three frames to train on and one held out; a frame is 2 + 1 tokens.
Manifest Trajectories() {
  Manifest manifest = Example();
  manifest.kind = DatasetKind::kTrajectories;
  manifest.vocabulary = 7;
  manifest.segments = {{.name = "observation", .begin = 0, .end = 4},
                       {.name = "action:0", .begin = 4, .end = 7}};
  manifest.tokenizer = "cells";
  manifest.token_bytes = {};
  manifest.frames = Frames{.tokens_per_observation = 2,
                           .tokens_per_action = 1,
                           .frames_per_episode = 3,
                           .frames_left_out = 5,
                           .image_height = 4,
                           .image_width = 2,
                           .image_channels = 3};
  const std::string hash = "0123456789abcdef";
  manifest.shards = {{"train-00000.npy", "train", "u8", 18, 146, hash},
                     {"train-images-00000.npy", "train", "u8", 6, 272, hash, "images"},
                     {"train-actions-00000.npy", "train", "u8", 6, 134, hash, "actions"},
                     {"heldout-00000.npy", "heldout", "u8", 9, 137, hash}};
  manifest.documents = 3;
  manifest.unique_tokens = 18;
  manifest.heldout_tokens = 9;
  manifest.policy = "mix3";
  manifest.returns = Returns{.expert = 12.25, .random = -0.5};
  manifest.entropies = {{.frames = 3, .nats_per_token = 0.25, .standard_error = 0.001}};
  return manifest;
}

absl::StatusOr<Manifest> ParseTrajectories(const std::function<void(Json&)>& edit) {
  Json json = Json::parse(ManifestJson(Trajectories()));
  edit(json);
  return ParseManifest(json.dump());
}

TEST(ManifestTest, FilesOfDatasetsWithoutFramesStayAsTheyWere) {
  // Of version 0.1.0: runs are pinned to it.
  EXPECT_EQ(HashHex(ManifestJson(Example())), "ad2869897cdb13fc");
}

TEST(ManifestTest, TrajectoriesReadBackWithEveryField) {
  const std::string json = ManifestJson(Trajectories());
  ASSERT_OK_AND_ASSIGN(const Manifest read, ParseManifest(json));
  EXPECT_EQ(ManifestJson(read), json);
  EXPECT_EQ(read.frames->tokens_per_episode(), 9);
  EXPECT_EQ(read.frames->frames_left_out, 5);
  EXPECT_EQ(read.shards[0].role, "tokens");
  EXPECT_EQ(read.shards[1].role, "images");
  EXPECT_EQ(read.policy, "mix3");
  EXPECT_EQ(read.returns->random, -0.5);
  EXPECT_EQ(read.entropies[0].nats_per_token, 0.25);
}

TEST(ManifestTest, TrajectoriesAreWholeEpisodesWithTheirSegments) {
  EXPECT_THAT(ParseTrajectories([](Json& j) { j["frames"]["frames_per_episode"] = 4; }),
              Refused({"train split has 18 tokens", "episodes of 12"}));
  EXPECT_THAT(ParseTrajectories([](Json& j) { j["segments"][1]["name"] = "action"; }),
              Refused({"'action:0' is missing"}));
  EXPECT_THAT(ParseTrajectories([](Json& j) { j.erase("frames"); }),
              Refused({"kind is 'trajectories'", "'frames' is missing"}));
  EXPECT_THAT(ParseTrajectories([](Json& j) { j["frames"]["image_width"] = 0; }),
              Refused({"4 x 0 x 3", "all 0"}));
  EXPECT_THAT(ParseTrajectories([](Json& j) { j["frames"]["frames_per_episode"] = 1 << 21; }),
              Refused({"frames.frames_per_episode is 2097152", "1048576"}));
  EXPECT_THAT(ParseTrajectories([](Json& j) { j["frames"].erase("tokens_per_action"); }),
              Refused({"frames.tokens_per_action is missing"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["kind"] = "sound"; })),
              Refused({"'sound'", "text, trajectories, generated"}));
}

TEST(ManifestTest, ImagesAndActionsAreThoseOfTheFrames) {
  EXPECT_THAT(ParseTrajectories([](Json& j) { j["shards"][1]["tokens"] = 5; }),
              Refused({"6 frames, 5 images and 6 actions"}));
  EXPECT_THAT(ParseTrajectories([](Json& j) { j["shards"][2]["tokens"] = 3; }),
              Refused({"6 frames, 6 images and 3 actions"}));
  EXPECT_THAT(ParseTrajectories([](Json& j) { j["shards"][1]["bytes"] = 100; }),
              Refused({"100 bytes", "6 images"}));
  EXPECT_THAT(ParseTrajectories([](Json& j) { j["shards"][1]["role"] = "sounds"; }),
              Refused({"'sounds'", "tokens, images and actions"}));
  EXPECT_THAT(ParseManifest(Edited([](Json& j) { j["shards"][1]["role"] = "images"; })),
              Refused({"has images", "size"}));
}

TEST(ManifestTest, GeneratedDatasetHasASpecAndNoShards) {
  Manifest manifest = Trajectories();
  manifest.kind = DatasetKind::kGenerated;
  manifest.generator = "strata:universe=7";
  manifest.name = manifest.generator;
  manifest.unique_tokens = 9 * (int64_t{1} << 40);
  manifest.heldout_tokens = 9 * 1024;
  EXPECT_THAT(ParseManifest(ManifestJson(manifest)), Refused({"shards has 4 entries", "none"}));
  manifest.shards.clear();
  ASSERT_OK_AND_ASSIGN(const Manifest read, ParseManifest(ManifestJson(manifest)));
  EXPECT_EQ(read.unique_tokens, 9 * (int64_t{1} << 40));
  manifest.name = "a-folder";
  EXPECT_THAT(ParseManifest(ManifestJson(manifest)), Refused({"'a-folder'", "strata:universe=7"}));
}

TEST(ManifestTest, WindowsPerEpochLeavesRoomForTheLastTarget) {
  EXPECT_EQ(WindowsPerEpoch(0, 16), 0);
  EXPECT_EQ(WindowsPerEpoch(16, 16), 0);
  EXPECT_EQ(WindowsPerEpoch(17, 16), 1);
  EXPECT_EQ(WindowsPerEpoch(32, 16), 1);
  EXPECT_EQ(WindowsPerEpoch(33, 16), 2);
}

}  // namespace
}  // namespace allometry::data
