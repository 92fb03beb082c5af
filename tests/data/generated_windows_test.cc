#include "data/generated_windows.h"

#include <set>
#include <string>
#include <vector>

#include "data/generated.h"
#include "data/strata/episode.h"
#include "data/strata/render.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::data {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kSpec[] = "strata:view=8,zo=16,frames=8,library=256,pixels=16";
constexpr int64_t kContext = 3 * 17;

struct Rows {
  std::vector<int32_t> inputs, targets;
};

Rows Fill(const WindowSource& source, int64_t first, int64_t count) {
  Rows rows;
  rows.inputs.resize(static_cast<size_t>(count * kContext));
  rows.targets.resize(rows.inputs.size());
  EXPECT_OK(source.Fill(first, count, rows.inputs, rows.targets));
  return rows;
}

TEST(GeneratedWindowsTest, WindowsAreFunctionsOfTheirNumberAndSeed) {
  const WindowOptions options = {.context = kContext, .seed = 5, .heldout_windows = 20};
  ASSERT_OK_AND_ASSIGN(const WindowSources a, OpenGenerated(kSpec, options));
  ASSERT_OK_AND_ASSIGN(const WindowSources b, OpenGenerated(kSpec, options));
  const Rows whole = Fill(*a.train, 100, 6);
  Rows parts = Fill(*b.train, 103, 3);
  EXPECT_TRUE(
      std::equal(parts.inputs.begin(), parts.inputs.end(), whole.inputs.begin() + 3 * kContext));
  EXPECT_EQ(a.heldout_count, 20);
  EXPECT_EQ(a.manifest.hash, GeneratedManifest(kSpec)->hash);
  ASSERT_OK_AND_ASSIGN(
      const WindowSources other,
      OpenGenerated(kSpec, {.context = kContext, .seed = 6, .heldout_windows = 20}));
  EXPECT_NE(Fill(*other.train, 100, 6).inputs, whole.inputs);
  EXPECT_EQ(Fill(*other.heldout, 0, 20).inputs, Fill(*a.heldout, 0, 20).inputs);
}

TEST(GeneratedWindowsTest, TargetsAreTheNextTokensAndTheLastDoesNotCount) {
  ASSERT_OK_AND_ASSIGN(
      const WindowSources sources,
      OpenGenerated(kSpec, {.context = kContext, .seed = 1, .heldout_windows = 4}));
  const Rows rows = Fill(*sources.train, 0, 2);
  for (size_t i = 0; i < rows.inputs.size(); ++i) {
    const bool last = i % kContext == kContext - 1;
    EXPECT_EQ(rows.targets[i], last ? -1 : rows.inputs[i + 1]);
    const bool action = i % 17 == 16;
    EXPECT_TRUE(action ? rows.inputs[i] >= 4096 && rows.inputs[i] < 4104
                       : rows.inputs[i] >= 0 && rows.inputs[i] < 4096);
  }
}

TEST(GeneratedWindowsTest, OutcomesAreTheSignsOfTheRewardsOfTheirActions) {
  constexpr char kOutcomeSpec[] =
      "strata:view=8,zo=16,frames=8,library=16,policy=expert,outcomes=1";
  constexpr int64_t kFrame = 18, kFrames = 8, kWindows = 20;
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, GeneratedManifest(kOutcomeSpec));
  EXPECT_EQ(manifest.frames->tokens_per_outcome, 1);
  EXPECT_EQ(manifest.frames->tokens_per_frame(), kFrame);
  EXPECT_EQ(manifest.vocabulary, 4096 + 8 + 6);
  ASSERT_OK_AND_ASSIGN(
      const WindowSources sources,
      OpenGenerated(kOutcomeSpec,
                    {.context = kFrame * kFrames, .seed = 1, .heldout_windows = kWindows}));
  std::vector<int32_t> inputs(kWindows * kFrame * kFrames), targets(inputs.size());
  ASSERT_OK(sources.heldout->Fill(0, kWindows, inputs, targets));
  const strata::World world(*strata::ParseSpec(kOutcomeSpec));
  int rewards = 0;
  for (int64_t window = 0; window < kWindows; ++window) {
    strata::Episode episode(world, strata::kHeldoutEpisodes + static_cast<uint64_t>(window));
    for (int64_t t = 0; t < kFrames; ++t) {
      const int32_t* frame = inputs.data() + (window * kFrames + t) * kFrame;
      const double reward = episode.Step(frame[16] - 4096);
      EXPECT_EQ(frame[17], 4096 + 8 + (reward > 0 ? 2 : 1)) << window << " " << t;
      rewards += reward > 0;
    }
    EXPECT_EQ(targets[static_cast<size_t>((window + 1) * kFrames * kFrame - 2)],
              inputs[static_cast<size_t>((window + 1) * kFrames * kFrame - 1)]);
  }
  EXPECT_GT(rewards, 5);
}

TEST(GeneratedWindowsTest, NoWindowIsSeenTwiceNorHeldOutOnesTrainedOn) {
  ASSERT_OK_AND_ASSIGN(
      const WindowSources sources,
      OpenGenerated(kSpec, {.context = kContext, .seed = 1, .heldout_windows = 500}));
  std::set<std::vector<int32_t>> seen;
  for (const auto& source : {sources.train.get(), sources.heldout.get()}) {
    const Rows rows = Fill(*source, 0, 500);
    for (size_t row = 0; row < 500; ++row) {
      const auto begin = rows.inputs.begin() + static_cast<ptrdiff_t>(row * kContext);
      seen.emplace(begin, begin + kContext);
    }
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(GeneratedWindowsTest, UniversesTakeTurnsAndEachIsAsAlone) {
  const std::string rest = ",view=8,zo=16,frames=8,library=256";
  const WindowOptions options = {.context = kContext, .seed = 1, .heldout_windows = 6};
  ASSERT_OK_AND_ASSIGN(const WindowSources joint,
                       OpenGenerated("strata:universe=4,universes=2" + rest, options));
  ASSERT_OK_AND_ASSIGN(const WindowSources first,
                       OpenGenerated("strata:universe=4" + rest, options));
  ASSERT_OK_AND_ASSIGN(const WindowSources second,
                       OpenGenerated("strata:universe=5" + rest, options));
  for (int64_t window = 0; window < 6; ++window) {
    const WindowSources& one = window % 2 == 0 ? first : second;
    EXPECT_EQ(Fill(*joint.heldout, window, 1).inputs, Fill(*one.heldout, window, 1).inputs);
  }
  EXPECT_NE(Fill(*first.heldout, 0, 1).inputs, Fill(*second.heldout, 0, 1).inputs);
}

TEST(GeneratedWindowsTest, ImagesAreThoseOfTheFrames) {
  ASSERT_OK_AND_ASSIGN(
      const WindowSources sources,
      OpenGenerated(kSpec, {.context = kContext, .seed = 1, .heldout_windows = 4}));
  std::vector<uint8_t> images(2 * 3 * 768);
  ASSERT_OK(sources.heldout->FillImages(1, 2, images));
  const strata::World world(*strata::ParseSpec(kSpec));
  const strata::Renderer renderer(world, 16);
  strata::Episode episode(world, strata::kHeldoutEpisodes + 2);
  std::vector<uint8_t> drawn(768);
  for (size_t t = 0; t < 3; ++t) {
    renderer.Draw(episode.view(), drawn);
    EXPECT_TRUE(std::equal(drawn.begin(), drawn.end(),
                           images.begin() + static_cast<ptrdiff_t>((3 + t) * 768)));
    episode.Step(episode.Demonstrate());
  }
  ASSERT_OK_AND_ASSIGN(const WindowSources blind,
                       OpenGenerated("strata:view=8,zo=16", {.context = 17, .heldout_windows = 1}));
  EXPECT_THAT(blind.train->FillImages(0, 1, images),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("pixels=")));
}

TEST(GeneratedWindowsTest, ContextsThatDoNotFitAreRefusedWithTheNumbers) {
  EXPECT_THAT(OpenGenerated(kSpec, {.context = 50, .heldout_windows = 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("context 50"), HasSubstr("frames of 17"))));
  EXPECT_THAT(OpenGenerated(kSpec, {.context = 9 * 17, .heldout_windows = 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("9 frames"), HasSubstr("episode of 8"))));
}

}  // namespace
}  // namespace allometry::data
