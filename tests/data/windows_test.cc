#include "data/windows.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"

namespace allometry::data {
namespace {

using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::allometry::testing::WriteTokenDataset;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<uint32_t> Counting(uint32_t count) {
  std::vector<uint32_t> tokens(count);
  for (uint32_t i = 0; i < count; ++i) tokens[i] = i;
  return tokens;
}

struct Rows {
  std::vector<int32_t> inputs;
  std::vector<int32_t> targets;
};

template <class Windows>
Rows Fill(const Windows& windows, int64_t first, int64_t count) {
  Rows rows;
  rows.inputs.resize(static_cast<size_t>(count * windows.context()));
  rows.targets.resize(rows.inputs.size());
  EXPECT_OK(windows.Fill(first, count, rows.inputs, rows.targets));
  return rows;
}

class WindowsTest : public ::testing::Test {
 protected:
  // Token i of the train split is i; of the held-out split too.
  TokenDataset Dataset(uint32_t train, uint32_t heldout, int64_t vocabulary = 70000,
                       int64_t shard_tokens = int64_t{1} << 26) {
    const auto manifest = WriteTokenDataset(folder_.path(), "counting", vocabulary, Counting(train),
                                            Counting(heldout), shard_tokens);
    EXPECT_OK(manifest);
    auto dataset = TokenDataset::Open(Folder());
    EXPECT_OK(dataset);
    return *std::move(dataset);
  }
  std::string Folder() const { return folder_.Path("counting"); }

  TemporaryFolder folder_;
};

TEST_F(WindowsTest, TargetsAreTheInputsShiftedByOne) {
  const TokenDataset dataset = Dataset(101, 20);
  ASSERT_OK_AND_ASSIGN(const TrainWindows windows, TrainWindows::Create(dataset, 10, 7));
  const Rows rows = Fill(windows, 3, 4);
  for (int64_t row = 0; row < 4; ++row) {
    const int64_t first = windows.Position(3 + row) * 10;
    for (int64_t i = 0; i < 10; ++i) {
      EXPECT_EQ(rows.inputs[static_cast<size_t>(row * 10 + i)], first + i);
      EXPECT_EQ(rows.targets[static_cast<size_t>(row * 10 + i)], first + i + 1);
    }
  }
}

TEST_F(WindowsTest, AnEpochHoldsEveryInputOnceAndTheNextOneInAnotherOrder) {
  const TokenDataset dataset = Dataset(1000, 20);  // (1000 - 1) / 3 = 333 windows
  ASSERT_OK_AND_ASSIGN(const TrainWindows windows, TrainWindows::Create(dataset, 3, 1));
  std::vector<std::vector<int32_t>> epochs;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    epochs.push_back(Fill(windows, epoch * 333, 333).inputs);
    std::vector<int32_t> sorted = epochs.back();
    std::sort(sorted.begin(), sorted.end());
    for (int32_t i = 0; i < 999; ++i) ASSERT_EQ(sorted[static_cast<size_t>(i)], i);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
}

TEST_F(WindowsTest, ABatchFilledInPartsEqualsTheWholeBatch) {
  const TokenDataset dataset = Dataset(1000, 20);
  ASSERT_OK_AND_ASSIGN(const TrainWindows windows, TrainWindows::Create(dataset, 16, 5));
  const Rows whole = Fill(windows, 100, 32);  // crosses the end of an epoch of 62
  Rows parts;
  for (int64_t first = 100; first < 132; first += 8) {
    const Rows part = Fill(windows, first, 8);
    parts.inputs.insert(parts.inputs.end(), part.inputs.begin(), part.inputs.end());
    parts.targets.insert(parts.targets.end(), part.targets.begin(), part.targets.end());
  }
  EXPECT_EQ(parts.inputs, whole.inputs);
  EXPECT_EQ(parts.targets, whole.targets);
}

TEST_F(WindowsTest, SeedChangesTheOrderAndEqualSeedsDoNot) {
  const TokenDataset dataset = Dataset(1000, 20);
  ASSERT_OK_AND_ASSIGN(const TrainWindows a, TrainWindows::Create(dataset, 4, 1));
  ASSERT_OK_AND_ASSIGN(const TrainWindows b, TrainWindows::Create(dataset, 4, 1));
  ASSERT_OK_AND_ASSIGN(const TrainWindows c, TrainWindows::Create(dataset, 4, 2));
  EXPECT_EQ(Fill(a, 0, 50).inputs, Fill(b, 0, 50).inputs);
  EXPECT_NE(Fill(a, 0, 50).inputs, Fill(c, 0, 50).inputs);
}

TEST_F(WindowsTest, ShardsOfEveryTypeReadAsOneStream) {
  for (const int64_t vocabulary : {256, 65536, 70000}) {
    const TokenDataset whole = Dataset(250, 20, vocabulary);
    ASSERT_OK_AND_ASSIGN(const TrainWindows expected, TrainWindows::Create(whole, 13, 3));
    const Rows rows = Fill(expected, 0, 40);
    const TokenDataset sharded = Dataset(250, 20, vocabulary, 11);
    EXPECT_EQ(sharded.manifest().shards.size(), 23u + 2u);
    ASSERT_OK_AND_ASSIGN(const TrainWindows windows, TrainWindows::Create(sharded, 13, 3));
    EXPECT_EQ(Fill(windows, 0, 40).inputs, rows.inputs);
    EXPECT_EQ(Fill(windows, 0, 40).targets, rows.targets);
  }
}

TEST_F(WindowsTest, EpochsAreExact) {
  const TokenDataset dataset = Dataset(1000, 20);
  ASSERT_OK_AND_ASSIGN(const TrainWindows windows, TrainWindows::Create(dataset, 10, 1));
  EXPECT_DOUBLE_EQ(windows.Epochs(990), 1.0);  // token 990 is only a target
  EXPECT_DOUBLE_EQ(windows.Epochs(495 * 5), 2.5);
}

TEST_F(WindowsTest, HeldoutWindowsAreEvenlySpacedAndFixed) {
  const TokenDataset dataset = Dataset(100, 101);
  ASSERT_OK_AND_ASSIGN(const HeldoutWindows windows, HeldoutWindows::Create(dataset, 10, 4));
  EXPECT_EQ(windows.count(), 4);
  const Rows rows = Fill(windows, 0, 4);
  std::vector<int32_t> firsts;
  for (size_t row = 0; row < 4; ++row) firsts.push_back(rows.inputs[row * 10]);
  EXPECT_THAT(firsts, ElementsAre(0, 20, 50, 70));  // windows 0, 2, 5, 7 of ten
  EXPECT_EQ(rows.targets.back(), 80);
  EXPECT_EQ(Fill(windows, 1, 3).inputs,
            std::vector<int32_t>(rows.inputs.begin() + 10, rows.inputs.end()));
}

TEST_F(WindowsTest, HeldoutWindowsAreAllWhereFewerExist) {
  const TokenDataset dataset = Dataset(100, 52);
  ASSERT_OK_AND_ASSIGN(const HeldoutWindows windows, HeldoutWindows::Create(dataset, 10, 256));
  EXPECT_EQ(windows.count(), 5);
  const Rows rows = Fill(windows, 0, 5);
  for (int32_t i = 0; i < 50; ++i) EXPECT_EQ(rows.inputs[static_cast<size_t>(i)], i);
}

TEST_F(WindowsTest, SplitShorterThanAWindowIsRefusedWithTheNumbers) {
  const TokenDataset dataset = Dataset(10, 11);
  EXPECT_THAT(TrainWindows::Create(dataset, 10, 1).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("counting"), HasSubstr("train split has 10 tokens"),
                             HasSubstr("needs 11"))));
  EXPECT_OK(HeldoutWindows::Create(dataset, 10, 1).status());
  EXPECT_THAT(HeldoutWindows::Create(dataset, 0, 1).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("context 0")));
  EXPECT_THAT(HeldoutWindows::Create(dataset, 4, 0).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("windows 0")));
}

TEST_F(WindowsTest, TokenOutsideTheVocabularyIsDataLossNotAnIndex) {
  ASSERT_OK(
      WriteTokenDataset(folder_.path(), "counting", 100, Counting(50), Counting(50)).status());
  // One byte of the shard's data becomes 200.
  std::fstream shard(Folder() + "/train-00000.npy", std::ios::in | std::ios::out);
  shard.seekp(128 + 7);
  shard.put(static_cast<char>(200));
  shard.close();
  ASSERT_OK_AND_ASSIGN(const TokenDataset dataset, TokenDataset::Open(Folder()));
  ASSERT_OK_AND_ASSIGN(const TrainWindows windows, TrainWindows::Create(dataset, 49, 1));
  std::vector<int32_t> inputs(49), targets(49);
  EXPECT_THAT(windows.Fill(0, 1, inputs, targets),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("token id 200"), HasSubstr("100 ids"))));
  EXPECT_THAT(TokenDataset::Open(Folder(), TokenDataset::Check::kHashes).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("hash")));
}

TEST_F(WindowsTest, ShardThatDoesNotFitItsEntryIsNamed) {
  ASSERT_OK(
      WriteTokenDataset(folder_.path(), "counting", 100, Counting(50), Counting(50)).status());
  const std::string shard = Folder() + "/heldout-00000.npy";
  ASSERT_OK(TokenDataset::Open(Folder(), TokenDataset::Check::kHashes).status());

  std::filesystem::resize_file(shard, 150);
  EXPECT_THAT(TokenDataset::Open(Folder()).status(),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr(shard), HasSubstr("150 bytes, the manifest says 178"))));
  // The right size and the wrong type.
  std::string other = EncodeNpy(TokenType::kU16, std::vector<uint32_t>(25));
  ASSERT_OK(WriteFileAtomically(shard, other));
  EXPECT_THAT(TokenDataset::Open(Folder()).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("25 tokens of u16")));
  std::filesystem::resize_file(shard, 0);
  EXPECT_THAT(TokenDataset::Open(Folder()).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("empty")));
  std::filesystem::remove(shard);
  EXPECT_THAT(TokenDataset::Open(Folder()).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(shard)));
}

TEST_F(WindowsTest, ImagesOfAFrameAreFoundAcrossShards) {
  // Three one-frame episodes of one token and one action; image i is six bytes of 10 i + 0..5.
  Dataset(0, 0, 4);
  DatasetWriter writer(Folder(), TokenType::kU8);
  ASSERT_OK(writer.Open());
  ASSERT_OK(writer.Append("train", std::vector<uint32_t>{0, 3, 1, 3, 2, 3}));
  ASSERT_OK(writer.Append("heldout", std::vector<uint32_t>{0, 3}));
  Manifest manifest;
  manifest.name = "counting";
  manifest.kind = DatasetKind::kTrajectories;
  manifest.vocabulary = 4;
  manifest.segments = {{.name = "observation", .begin = 0, .end = 3},
                       {.name = "action:0", .begin = 3, .end = 4}};
  manifest.frames = Frames{.tokens_per_observation = 1,
                           .tokens_per_action = 1,
                           .frames_per_episode = 1,
                           .image_height = 1,
                           .image_width = 2,
                           .image_channels = 3};
  ASSERT_OK_AND_ASSIGN(manifest, writer.Finish(manifest));
  int64_t first = 0;
  for (const int64_t frames : {2, 1}) {
    std::string file = EncodeNpyHeader(TokenType::kU8, std::vector<int64_t>{frames, 1, 2, 3});
    for (int64_t i = 0; i < 6 * frames; ++i)
      file += static_cast<char>(10 * (first + i / 6) + i % 6);
    const std::string name = absl::StrCat("train-images-", first, ".npy");
    ASSERT_OK(WriteFileAtomically(Folder() + "/" + name, file));
    manifest.shards.push_back({.file = name,
                               .split = "train",
                               .dtype = "u8",
                               .tokens = frames,
                               .bytes = static_cast<int64_t>(file.size()),
                               .hash = HashHex(file),
                               .role = "images"});
    first += frames;
  }
  ASSERT_OK(WriteFileAtomically(Folder() + "/dataset.json", ManifestJson(manifest)));
  ASSERT_OK_AND_ASSIGN(const TokenDataset dataset,
                       TokenDataset::Open(Folder(), TokenDataset::Check::kHashes));
  EXPECT_EQ(dataset.train().size(), 6);
  EXPECT_EQ(dataset.train_images().frames(), 3);
  EXPECT_EQ(dataset.heldout_images().frames(), 0);
  std::vector<uint8_t> images(12);
  dataset.train_images().Read(1, 2, images);
  EXPECT_THAT(images, ElementsAre(10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25));

  manifest.frames->image_width = 1;
  manifest.frames->image_height = 2;
  ASSERT_OK(WriteFileAtomically(Folder() + "/dataset.json", ManifestJson(manifest)));
  EXPECT_THAT(TokenDataset::Open(Folder()),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("2 x 1 x 2 x 3 images"), HasSubstr("2 x 2 x 1 x 3"))));
}

TEST_F(WindowsTest, WindowsSurviveMovingTheDataset) {
  TokenDataset first = Dataset(100, 20);
  ASSERT_OK_AND_ASSIGN(const TrainWindows windows, TrainWindows::Create(first, 9, 1));
  const Rows before = Fill(windows, 0, 11);
  const TokenDataset second = std::move(first);
  EXPECT_EQ(Fill(windows, 0, 11).inputs, before.inputs);
  EXPECT_EQ(second.train().size(), 100);
}

TEST(KeyedPermutationTest, IsAPermutationForEverySize) {
  for (uint64_t size = 1; size <= 300; ++size) {
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t value = KeyedPermutation(11, size % 5, size, i);
      ASSERT_LT(value, size);
      seen.insert(value);
    }
    ASSERT_EQ(seen.size(), size);
  }
}

TEST(KeyedPermutationTest, StoredValuesNeverChange) {
  // A change would give every stored run another data order. Values: a second implementation.
  std::vector<uint64_t> values;
  for (uint64_t i = 0; i < 6; ++i) values.push_back(KeyedPermutation(42, 3, 1'000'003, i));
  EXPECT_THAT(values, ElementsAre(435708, 111725, 310224, 693170, 154722, 740444));
  EXPECT_EQ(KeyedPermutation(0, 0, uint64_t{1} << 40, 12345), 420566383344u);
}

TEST(KeyedPermutationTest, EveryPlaceIsEquallyLikelyOverEpochs) {
  // 2 x 13 places, 13,000 draws each: chi-square with 12 degrees of freedom passes 32.9 with
  // probability 0.001. Nothing here is random: the keys are fixed.
  constexpr uint64_t kSize = 13;
  for (const uint64_t index : {uint64_t{0}, uint64_t{7}}) {
    std::map<uint64_t, int> counts;
    for (uint64_t epoch = 0; epoch < 13000; ++epoch) {
      ++counts[KeyedPermutation(1, epoch, kSize, index)];
    }
    double chi_square = 0;
    for (uint64_t place = 0; place < kSize; ++place) {
      const double difference = counts[place] - 1000.0;
      chi_square += difference * difference / 1000.0;
    }
    EXPECT_LT(chi_square, 32.9);
  }
}

TEST(KeyedPermutationTest, NeighboursAreNotSentToNeighbours) {
  // Among 20,000 pairs of a random order of 10,000, about 2 x 2 are adjacent.
  int adjacent = 0;
  for (uint64_t epoch = 0; epoch < 2; ++epoch) {
    for (uint64_t i = 0; i + 1 < 10000; ++i) {
      const auto a = static_cast<int64_t>(KeyedPermutation(5, epoch, 10000, i));
      const auto b = static_cast<int64_t>(KeyedPermutation(5, epoch, 10000, i + 1));
      if (std::abs(a - b) == 1) ++adjacent;
    }
  }
  EXPECT_LT(adjacent, 16);
}

TEST(TokenDatasetTest, AShardThatIsNoFileIsNamed) {
  TemporaryFolder folder;
  const std::vector<uint32_t> tokens = {0, 1, 0};
  ASSERT_OK(WriteTokenDataset(folder.path(), "a", 2, tokens, tokens).status());
  const std::string shard = folder.Path("a/train-00000.npy");
  const auto is_named = StatusIs(absl::StatusCode::kDataLoss, HasSubstr(shard));
  std::filesystem::remove(shard);
  ASSERT_EQ(mkfifo(shard.c_str(), 0600), 0);
  EXPECT_THAT(TokenDataset::Open(folder.Path("a")).status(), is_named);
  std::filesystem::remove(shard);
  std::filesystem::create_symlink("/dev/zero", shard);
  EXPECT_THAT(TokenDataset::Open(folder.Path("a")).status(), is_named);
  std::filesystem::remove(shard);
  std::filesystem::create_directory(shard);
  EXPECT_THAT(TokenDataset::Open(folder.Path("a")).status(), is_named);
}

}  // namespace
}  // namespace allometry::data
