#include "models/presets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "models/micro_batch.h"
#include "models/objective.h"
#include "models/train_step.h"

namespace allometry::models {
namespace {

using ::testing::HasSubstr;

std::string GroupOf(const Preset& preset) { return preset.name.substr(0, preset.name.find('/')); }

int64_t PaperCount(const Preset& preset) {
  return CountN(CountParams(preset.shape), ParamPolicy::kPaper);
}

// TARGETS 1: tied and without positions, N rounds to every label of Table 2.
TEST(PresetsTest, PaperCountRoundsToEveryLabelOfTheTokenFamilies) {
  int compared = 0;
  for (const Preset& preset : Presets()) {
    const std::string group = GroupOf(preset);
    if (group != "wm-256" && group != "wm-540" && group != "bc-540") continue;
    EXPECT_EQ(std::round(static_cast<double>(PaperCount(preset)) / 1e6), preset.table_params / 1e6)
        << preset.name;
    ++compared;
  }
  EXPECT_EQ(compared, 16);
}

TEST(PresetsTest, TheOtherTablesAreMetAsFarAsTheyCanBe) {
  for (const Preset& preset : Presets()) {
    const std::string group = GroupOf(preset);
    const double ratio = static_cast<double>(PaperCount(preset)) / preset.table_params;
    const std::map<std::string, double> tolerances = {{"bc-cnn", 0.02}, {"char", 0.04}};
    if (tolerances.contains(group) || group.starts_with("rt1")) {
      const double tolerance = group.starts_with("rt1") ? 0.1 : tolerances.at(group);
      EXPECT_NEAR(ratio, 1, tolerance) << preset.name;
    } else if (group == "bc-540-small") {
      // Table 8 counts blocks and positions, not what the others count.
      const ParamCounts counts = CountParams(preset.shape);
      EXPECT_NEAR((counts.blocks + counts.position_embedding) / preset.table_params, 1, 0.025);
      EXPECT_LT(ratio, 0.86) << preset.name;
    }
  }
}

// The layout allocates nothing, so the 894M model is cheap to count.
TEST(PresetsTest, TheTensorsOfEveryPresetAddUpToItsCount) {
  for (const Preset& preset : Presets()) {
    const absl::StatusOr<ParameterLayout> layout = LayoutOf(preset.shape);
    ASSERT_TRUE(layout.ok()) << layout.status();
    std::map<std::string, int64_t> sizes;
    for (const ParameterView& view : layout->views) {
      const bool is_table = view.name.find("transformer.w") == 0;
      const bool is_encoder = view.name.find("encoder.") == 0;
      sizes[is_table ? view.name : is_encoder ? "encoder" : "blocks"] += view.size;
    }
    const ParamCounts counts = CountParams(preset.shape);
    EXPECT_EQ(sizes["blocks"], counts.blocks) << preset.name;
    EXPECT_EQ(sizes["transformer.wte.weight"], counts.token_embedding) << preset.name;
    EXPECT_EQ(sizes["transformer.wpe.weight"], counts.position_embedding) << preset.name;
    EXPECT_EQ(sizes["encoder"], counts.extra) << preset.name;
    EXPECT_EQ(layout->size, counts.total()) << preset.name;
  }
}

TEST(PresetsTest, BatchesAreThePapersInWholeSequences) {
  const std::map<std::string, int64_t> tokens = {
      {"wm-256/15M", 522'240},      {"wm-256/894M", 1'999'200}, {"wm-540/4M", 533'760},
      {"bc-540-small/1M", 500'400}, {"bc-cnn/2M", 2'560},       {"rt1-16/0.2M", 34'000},
      {"rt1-256/0.2M", 33'800},     {"bc-540/2M", 533'760},     {"char/10k", 2'048}};
  for (const auto& [name, expected] : tokens) {
    EXPECT_EQ(FindPreset(name)->batch_tokens(), expected) << name;
  }
  EXPECT_EQ(FindPreset("wm-256/206M")->learning_rate, 5.7e-4);
  EXPECT_EQ(FindPreset("wm-540/4M")->learning_rate, 5e-3);
}

TEST(PresetsTest, EveryPresetsObjectiveFitsItsSequence) {
  std::map<std::string, FrameTokens> frames = {{"wm-256", {256, 16}},
                                               {"wm-540", {540, 16}},
                                               {"bc-540", {540, 16}},
                                               {"bc-540-small", {540, 16}}};
  for (const int observation : {16, 36, 64, 100, 256}) {
    frames["rt1-" + std::to_string(observation)] = {observation, 4};
  }
  for (const Preset& preset : Presets()) {
    if (preset.shape.family != "gpt") continue;
    const FrameTokens frame = frames[GroupOf(preset)];
    EXPECT_EQ(preset.frames * frame.total(), preset.frames == 0 ? 0 : preset.shape.context);
    const auto objective = Objective::Create(preset.objective, 0, preset.shape.vocabulary,
                                             preset.shape.context, frame);
    EXPECT_TRUE(objective.ok()) << preset.name << ": " << objective.status();
  }
}

TEST(PresetsTest, AnUnknownNameListsItsGroupOrTheGroups) {
  EXPECT_THAT(std::string(FindPreset("wm-540/28M").status().message()),
              HasSubstr("allowed are wm-540/4M, wm-540/11M, wm-540/27M"));
  EXPECT_THAT(std::string(FindPreset("27M").status().message()), HasSubstr("wm-256, wm-540"));
}

TEST(MicroBatchTest, ASmallShareIsTakenAtOnceAndALargeOneInEqualParts) {
  const Preset small = *FindPreset("char/10k"), large = *FindPreset("wm-540/27M");
  EXPECT_EQ(MicroBatchFor(small.shape, 128, 2e9), 0);
  const double each = SequenceActivationBytes(large.shape);
  EXPECT_NEAR(each, 4.0 * 5560 * (20 * 8 * 512 + 3 * 4164), 1);
  EXPECT_EQ(MicroBatchFor(large.shape, 96, each / 2), 1);
  EXPECT_EQ(MicroBatchFor(large.shape, 96, 7.5 * each), 7);
  EXPECT_EQ(MicroBatchFor(large.shape, 96, 95.5 * each), 48);
  EXPECT_EQ(MicroBatchFor(large.shape, 96, 96 * each), 0);
  // An image costs its encoder's places, far more than a token.
  const Preset frames = *FindPreset("bc-cnn/2M");
  EXPECT_GT(SequenceActivationBytes(frames.shape), 10 * 4.0 * 16 * 1024 * 32);
  EXPECT_GT(MicroBatchFor(frames.shape, 256, 2e9), 0);
}

}  // namespace
}  // namespace allometry::models
