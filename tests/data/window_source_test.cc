#include "data/window_source.h"

#include <algorithm>
#include <set>
#include <vector>

#include "data/windows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/frame_dataset.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"

namespace allometry::data {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

// 5 train and 2 held-out episodes of 7 frames of 4 tokens, windows of 3 frames: 2 an episode, one
// frame of each left over.
class FrameWindowsTest : public ::testing::Test {
 protected:
  FrameWindowsTest() {
    EXPECT_OK(testing::WriteFrameDataset(folder_.path(), "walk", 5, 7, 2).status());
    split_ = testing::WalkingFrames(5, 7, 2, 1);
  }
  WindowSources Open(int64_t context = 12, int64_t seed = 4, int64_t heldout = 100) {
    auto sources = OpenWindows(folder_.Path("walk"), {context, seed, heldout});
    EXPECT_OK(sources.status());
    return *std::move(sources);
  }
  testing::TemporaryFolder folder_;
  testing::FrameSplit split_;
};

TEST_F(FrameWindowsTest, AWindowIsWholeFramesOfOneEpisodeAndItsLastTargetIsNone) {
  const WindowSources sources = Open();
  std::vector<int32_t> inputs(30 * 12), targets(30 * 12);
  ASSERT_OK(sources.train->Fill(0, 30, inputs, targets));
  std::set<int64_t> starts;
  for (int row = 0; row < 30; ++row) {
    const auto window = inputs.begin() + row * 12;
    std::vector<int64_t> found;
    for (int64_t episode = 0; episode < 5; ++episode) {
      for (const int64_t frame : {0, 3}) {
        const int64_t first = (episode * 7 + frame) * 4;
        if (std::equal(window, window + 12, split_.tokens.begin() + first)) found.push_back(first);
      }
    }
    ASSERT_FALSE(found.empty()) << row;
    starts.insert(found.begin(), found.end());
    EXPECT_TRUE(std::equal(window + 1, window + 12, targets.begin() + row * 12));
    EXPECT_EQ(targets[row * 12 + 11], -1);
  }
  EXPECT_EQ(starts.size(), 10u);
}

TEST_F(FrameWindowsTest, AnEpochHoldsEveryWindowOnceInAnOrderOfItsOwn) {
  const WindowSources sources = Open();
  EXPECT_EQ(WindowsPerEpoch(sources.manifest, sources.manifest.unique_tokens, 12), 10);
  EXPECT_EQ(Epochs(sources.manifest, 25, 12), 2.5);
  std::vector<std::vector<int32_t>> epochs;
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<int32_t> inputs(120), targets(120);
    ASSERT_OK(sources.train->Fill(epoch * 10, 10, inputs, targets));
    epochs.push_back(inputs);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  for (auto& epoch : epochs) std::sort(epoch.begin(), epoch.end());
  EXPECT_EQ(epochs[0], epochs[1]);
}

TEST_F(FrameWindowsTest, ImagesAreThoseOfTheTokens) {
  const WindowSources sources = Open();
  std::vector<int32_t> inputs(4 * 12), targets(4 * 12);
  std::vector<uint8_t> images(4 * 3 * 4);
  ASSERT_OK(sources.train->Fill(8, 4, inputs, targets));
  ASSERT_OK(sources.train->FillImages(8, 4, images));
  for (int frame = 0; frame < 12; ++frame) {
    EXPECT_EQ(images[frame * 4], 60 * inputs[frame * 4]);
    EXPECT_EQ(images[frame * 4 + 3], 60 * inputs[frame * 4 + 1]);
  }
}

TEST_F(FrameWindowsTest, HeldoutWindowsAreEvenlySpacedAndFixed) {
  EXPECT_EQ(Open().heldout_count, 4);
  const WindowSources two = Open(12, 9, 2), all = Open(12, 3, 4);
  EXPECT_EQ(two.heldout_count, 2);
  std::vector<int32_t> inputs(24), targets(24), of_all(48), all_targets(48);
  ASSERT_OK(two.heldout->Fill(0, 2, inputs, targets));
  ASSERT_OK(all.heldout->Fill(0, 4, of_all, all_targets));
  EXPECT_TRUE(std::equal(inputs.begin(), inputs.begin() + 12, of_all.begin()));
  EXPECT_TRUE(std::equal(inputs.begin() + 12, inputs.end(), of_all.begin() + 24));
}

TEST_F(FrameWindowsTest, ContextsThatDoNotFitAreRefused) {
  const auto context = [&](int64_t tokens) {
    return OpenWindows(folder_.Path("walk"), {tokens, 1, 10}).status();
  };
  EXPECT_THAT(context(10), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("context 10 is not a number of whole frames of 4")));
  EXPECT_THAT(context(32), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("8 frames is longer than an episode of 7")));
}

TEST(TextWindowsTest, ThroughTheInterfaceTheyAreThoseOfWindows) {
  testing::TemporaryFolder folder;
  const auto tokens = testing::PatternedTokens(500, 16);
  ASSERT_OK(testing::WriteTokenDataset(folder.path(), "text", 16, tokens, tokens).status());
  ASSERT_OK_AND_ASSIGN(const WindowSources sources, OpenWindows(folder.Path("text"), {8, 5, 10}));
  ASSERT_OK_AND_ASSIGN(const TokenDataset dataset, TokenDataset::Open(folder.Path("text")));
  ASSERT_OK_AND_ASSIGN(const TrainWindows train, TrainWindows::Create(dataset, 8, 5));
  std::vector<int32_t> inputs(80), targets(80), wanted(80), wanted_targets(80);
  ASSERT_OK(sources.train->Fill(100, 10, inputs, targets));
  ASSERT_OK(train.Fill(100, 10, wanted, wanted_targets));
  EXPECT_EQ(inputs, wanted);
  EXPECT_EQ(targets, wanted_targets);
  std::vector<uint8_t> images(1);
  EXPECT_THAT(sources.train->FillImages(0, 1, images),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no images")));
}

}  // namespace
}  // namespace allometry::data
