// Objectives, windows of frames and presets: from the file to runs, and what does not fit together.
#include "coordinator/sweep/window.h"

#include <string>

#include "coordinator/sweep/sweep_reader.h"
#include "data/generated.h"
#include "gmock/gmock.h"
#include "models/presets.h"
#include "proto/run_conversion.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Frames of 16 + 4 tokens, 50 frames an episode.
data::Manifest Walks() {
  data::Manifest manifest = Words();
  manifest.kind = data::DatasetKind::kTrajectories;
  manifest.vocabulary = 512 + 12;
  manifest.segments = {{"observation", 0, 512},
                       {"action:0", 512, 515},
                       {"action:1", 515, 518},
                       {"action:2", 518, 521},
                       {"action:3", 521, 524}};
  manifest.frames = data::Frames{.tokens_per_observation = 16,
                                 .tokens_per_action = 4,
                                 .frames_per_episode = 50,
                                 .image_height = 64,
                                 .image_width = 64,
                                 .image_channels = 3};
  manifest.unique_tokens = 100'000 * manifest.frames->tokens_per_episode();
  return manifest;
}

constexpr absl::string_view kWorld = R"(name: world
dataset: words
model:
  frames: 4
  shapes: [{layers: 1, heads: 1, width: 32}]
training:
  objective: observation
  batch_sequences: 8
  warmup_steps: 10
  learning_rate: 3e-3
budgets:
  tokens: [1M]
)";

std::string MistakeOf(absl::string_view yaml, const data::Manifest& manifest) {
  const auto expansion = ExpandText(yaml, manifest);
  return expansion.ok() ? "" : std::string(expansion.status().message());
}

TEST(WindowTest, FramesOfTheDatasetMakeTheContext) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kWorld, Walks()));
  const v1::RunIdentity& identity = expansion.runs[0].spec().identity();
  EXPECT_EQ(identity.shape().context(), 80);
  EXPECT_EQ(identity.shape().vocabulary(), 524);
  EXPECT_EQ(identity.shape().image_height(), 0);
  EXPECT_EQ(identity.batch_tokens(), 640);
  EXPECT_EQ(identity.objective(), "observation");
  // An episode of 50 frames has 12 windows of 4: two frames are left over.
  const v1::Cell& cell = expansion.cells[0];
  EXPECT_EQ(cell.tokens(), 1563 * 640);
  EXPECT_DOUBLE_EQ(cell.epochs(), 1563 * 8 / (100'000 * 12.0));
}

TEST(WindowTest, ImageFamiliesCountFramesAndPredictActions) {
  const std::string yaml = SweepWith("  frames: 4", "  family: bc-cnn-lite\n  frames: 4",
                                     SweepWith("  objective: observation\n", "", kWorld));
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(yaml, Walks()));
  const v1::Run& run = expansion.runs[0];
  const v1::ModelShape& shape = run.spec().identity().shape();
  EXPECT_EQ(shape.context(), 4);
  EXPECT_EQ(shape.vocabulary(), 12);
  EXPECT_EQ(shape.image_width(), 64);
  EXPECT_EQ(run.spec().identity().batch_tokens(), 32);
  EXPECT_EQ(run.spec().identity().objective(), "action");
  EXPECT_GT(run.params().extra(), 0);
  // Convolutions cost far more than 6 a parameter.
  EXPECT_GT(run.flops_per_token_exact(), 2 * run.flops_per_token_6n());
  EXPECT_DOUBLE_EQ(expansion.cells[0].epochs(), expansion.cells[0].step() * 8 / (100'000 * 12.0));
}

TEST(WindowTest, PositionsAreOtherRunsAndAbsoluteIsTheOldKey) {
  const auto run = [](absl::string_view positions) {
    return ExpandText(SweepWith("  frames: 4", absl::StrCat("  frames: 4\n", positions), kWorld),
                      Walks())
        ->runs[0];
  };
  const v1::Run absolute = run("  positions: absolute\n"), rotary = run("  positions: rotary\n");
  EXPECT_EQ(absolute.key(), run("").key());
  EXPECT_NE(rotary.key(), absolute.key());
  EXPECT_NE(rotary.key(), run("  positions: frame-slot\n").key());
  ASSERT_OK_AND_ASSIGN(const run::RunSpec spec, ToRunSpec(rotary.spec()));
  EXPECT_EQ(spec.identity.shape.positions, run::Positions::kRotary);
  EXPECT_EQ(spec.identity.shape.frame_tokens, 20);
  EXPECT_EQ(absolute.params().position_embedding(), 80 * 32);
  EXPECT_EQ(rotary.params().position_embedding(), 20 * 32);
  EXPECT_EQ(run("  positions: frame-slot\n").params().position_embedding(), (4 + 20) * 32);
}

TEST(WindowTest, PositionsAreRefusedWhereTheyCannotBe) {
  const auto mistake = [](absl::string_view from, absl::string_view to) {
    return MistakeOf(SweepWith(from, to, kWorld), Walks());
  };
  EXPECT_THAT(
      mistake("  frames: 4", "  frames: 4\n  positions: rotory"),
      HasSubstr(
          "a.yaml:5: positions rotory is not known: allowed are absolute, frame-slot, rotary"));
  EXPECT_THAT(mistake("width: 32}]", "width: 33}]\n  positions: rotary"),
              HasSubstr("width 33 over heads 1 must be even"));
  EXPECT_THAT(
      MistakeOf(
          SweepWith("  frames: 4", "  family: bc-cnn-lite\n  frames: 4\n  positions: frame-slot",
                    SweepWith("  objective: observation\n", "", kWorld)),
          Walks()),
      HasSubstr("a.yaml:6: positions frame-slot: family bc-cnn-lite has a position for each "
                "frame, allowed is absolute"));
}

TEST(WindowTest, ObjectivesAreOtherRunsAndDenseIsTheOldKey) {
  const auto key = [](absl::string_view training) {
    return ExpandText(SweepWith("  batch_tokens: 4096\n",
                                absl::StrCat("  batch_tokens: 4096\n", training), kOneShape))
        ->runs[0]
        .key();
  };
  EXPECT_EQ(key("  objective: dense\n"), key(""));
  EXPECT_NE(key("  objective: sparse\n"), key(""));
  EXPECT_NE(key("  objective: super\n"), key("  objective: sparse\n"));
  EXPECT_NE(key("  objective: super\n  objective_seed: 1\n"), key("  objective: super\n"));
}

TEST(WindowTest, AVocabularyMayBeLargerThanTheDatasetsButNotSmaller) {
  const std::string yaml =
      SweepWith("  context: 32\n", "  context: 32\n  vocabulary: 128\n", kOneShape);
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(yaml));
  EXPECT_EQ(expansion.runs[0].spec().identity().shape().vocabulary(), 128);
  EXPECT_EQ(expansion.runs[0].params().token_embedding(), 128 * 32);
  EXPECT_THAT(MistakeOf(SweepWith("128", "98", yaml), Words()),
              HasSubstr("a.yaml:5: vocabulary 98, but dataset words has 99 ids"));
}

TEST(WindowTest, AGeneratedDatasetIsNamedByItsTextAndHasNoEpochs) {
  const std::string yaml = R"(name: demo
dataset: "strata:zo=16,view=8,frames=4"
model: {frames: 4, shapes: [{layers: 2, heads: 1, width: 32}]}
training: {objective: observation, batch_sequences: 32, warmup_steps: 10, learning_rate: 3e-3}
budgets: {tokens: [1M, 1T]}
)";
  ASSERT_OK_AND_ASSIGN(const data::Manifest manifest,
                       data::GeneratedManifest("strata:view=8,zo=16,frames=4"));
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(yaml, manifest));
  EXPECT_EQ(expansion.sweep.dataset(), manifest.name);
  ASSERT_EQ(expansion.cells.size(), 2u);
  EXPECT_EQ(expansion.cells[1].epochs(), 1);
  const v1::RunIdentity& identity = expansion.runs[0].spec().identity();
  EXPECT_EQ(identity.dataset(), manifest.name);
  EXPECT_EQ(identity.dataset_hash(), manifest.hash);
  EXPECT_EQ(identity.shape().context(), 4 * 17);
  EXPECT_EQ(identity.shape().vocabulary(), 4096 + 8);
  // A manifest of files does not do for a text, nor characters that no generator has.
  EXPECT_THAT(ExpandText(yaml, Words()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is of words")));
  EXPECT_THAT(ParseSweepFile(SweepWith("strata:zo=16", "strata:../x", yaml), "a.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not a name")));
}

TEST(WindowTest, WhatDoesNotFitTogetherIsSaidWithItsLine) {
  const data::Manifest walks = Walks();
  const auto world = [](absl::string_view from, absl::string_view to) {
    return SweepWith(from, to, kWorld);
  };
  EXPECT_THAT(MistakeOf(kWorld, Words()),
              HasSubstr("a.yaml:4: frames 4, but dataset words has none: give context"));
  EXPECT_THAT(MistakeOf(world("frames: 4", "context: 90"), walks),
              HasSubstr("a.yaml:4: context 90 is not whole frames: dataset words has frames of 20 "
                        "tokens (16 of the observation, 4 of the action)"));
  EXPECT_THAT(MistakeOf(world("frames: 4", "frames: 51"), walks),
              HasSubstr("frames 51 are more than an episode of dataset words has: 50"));
  EXPECT_THAT(MistakeOf(world("frames: 4", "frames: 4\n  context: 80"), walks),
              HasSubstr("a.yaml:5: frames and context are both given"));
  EXPECT_THAT(MistakeOf(world("objective: observation", "objective: sparse"), walks),
              HasSubstr("a.yaml:7: dataset words: objective sparse needs the token after"));
  EXPECT_THAT(MistakeOf(world("objective: observation", "objective: danse"), walks),
              HasSubstr("objective 'danse' is not known: allowed are dense, sparse"));
  EXPECT_THAT(
      MistakeOf(world("objective: observation", "objective: dense\n  objective_seed: 3"), walks),
      HasSubstr("a.yaml:8: objective_seed beside objective dense"));
  EXPECT_THAT(MistakeOf(world("batch_sequences: 8", "batch_tokens: 100"), walks),
              HasSubstr("batch_tokens 100 is not a multiple of context 80 (4 frames)"));
  EXPECT_THAT(
      MistakeOf(world("batch_sequences: 8", "batch_sequences: 8\n  batch_tokens: 80"), walks),
      HasSubstr("both given"));
  data::Manifest still = walks;
  still.frames->tokens_per_action = 0;
  EXPECT_THAT(MistakeOf(world("objective: observation", "objective: action"), still),
              HasSubstr("needs a dataset with actions"));
}

TEST(WindowTest, ImageFamiliesSayWhatTheyNeed) {
  const std::string yaml = SweepWith("  frames: 4", "  family: bc-cnn\n  frames: 4", kWorld);
  EXPECT_THAT(MistakeOf(yaml, Walks()),
              HasSubstr("a.yaml:8: objective observation: family bc-cnn predicts actions"));
  data::Manifest blind = Walks();
  blind.frames->image_height = blind.frames->image_width = blind.frames->image_channels = 0;
  EXPECT_THAT(MistakeOf(yaml, blind),
              HasSubstr("needs a dataset of frames with images and actions"));
  data::Manifest odd = Walks();
  odd.frames->image_width = 50;
  EXPECT_THAT(MistakeOf(SweepWith("objective: observation", "objective: action", yaml), odd),
              HasSubstr("image_width 50 is not allowed: it must be a multiple of 16"));
  EXPECT_THAT(MistakeOf(SweepWith("frames: 4", "context: 80", yaml), Walks()),
              HasSubstr("a position for each frame: give frames, not context"));
}

TEST(PresetSizesTest, APresetBringsShapeRateWindowObjectiveAndBatch) {
  constexpr absl::string_view kPresets = R"(name: tables
dataset: words
model:
  presets: [rt1-16/0.08M, rt1-16/0.99M]
training:
  warmup_steps: 10
budgets:
  tokens: [10M]
)";
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kPresets, Walks()));
  ASSERT_EQ(expansion.runs.size(), 2u);
  const v1::RunIdentity& identity = expansion.runs[1].spec().identity();
  const models::Preset preset = *models::FindPreset("rt1-16/0.99M");
  EXPECT_EQ(expansion.runs[1].size(), "rt1-16/0.99M");
  EXPECT_EQ(identity.shape().width(), preset.shape.width);
  EXPECT_EQ(identity.shape().context(), 40);      // K = 2 frames of the dataset
  EXPECT_EQ(identity.shape().vocabulary(), 524);  // the dataset's
  EXPECT_EQ(identity.learning_rate(), 2e-3);
  EXPECT_EQ(identity.batch_tokens(), 850 * 40);
  EXPECT_EQ(identity.objective(), "observation");
  // What the file says goes first.
  ASSERT_OK_AND_ASSIGN(
      const Expansion own,
      ExpandText(SweepWith("  warmup_steps: 10\n",
                           "  warmup_steps: 10\n  learning_rate: 1e-4\n  objective: action\n"
                           "  batch_tokens: 6000\n",
                           SweepWith("  presets", "  frames: 5\n  presets", kPresets)),
                 Walks()));
  const v1::RunIdentity& changed = own.runs[0].spec().identity();
  EXPECT_EQ(changed.shape().context(), 100);
  EXPECT_EQ(changed.learning_rate(), 1e-4);
  EXPECT_EQ(changed.objective(), "action");
  EXPECT_EQ(changed.batch_tokens(), 6000);
  EXPECT_THAT(
      MistakeOf(SweepWith("rt1-16/0.99M", "rt1-17/0.99M", kPresets), Walks()),
      AllOf(HasSubstr("a.yaml:4: preset 'rt1-17/0.99M' is not known"), HasSubstr("wm-256")));
  EXPECT_THAT(MistakeOf(SweepWith("rt1-16/0.99M", "bc-cnn/2M", kPresets), Walks()),
              HasSubstr("differ in family, window, objective or batch"));
  EXPECT_THAT(MistakeOf(SweepWith("  presets", "  sizes: [5k]\n  presets", kPresets), Walks()),
              HasSubstr("presets and sizes are both given"));
  EXPECT_THAT(MistakeOf(kPresets, Words()), HasSubstr("frames 2, but dataset words has none"));
}

TEST(WindowTest, AContextThatASplitCannotFillIsRefusedWithBothNumbers) {
  data::Manifest manifest = Words();
  manifest.shards.resize(2);
  manifest.unique_tokens = 1'000'000;
  manifest.heldout_tokens = 32;
  EXPECT_THAT(MistakeOf(kSweep, manifest),
              AllOf(HasSubstr("a.yaml:5: context 32 is more than dataset words can fill"),
                    HasSubstr("its held-out split has 32 tokens, and one window needs 33; allowed "
                              "is up to 31")));
  manifest.heldout_tokens = 33;
  EXPECT_EQ(MistakeOf(kSweep, manifest), "");
  manifest.unique_tokens = 20;
  EXPECT_THAT(MistakeOf(kSweep, manifest), HasSubstr("its train split has 20 tokens"));
  manifest.unique_tokens = 0;
  EXPECT_THAT(MistakeOf(kSweep, manifest), HasSubstr("allowed is up to 0"));
}

TEST(WindowTest, ASplitWithoutAnEpisodeIsRefused) {
  data::Manifest manifest = Walks();
  manifest.shards.resize(2);
  manifest.heldout_tokens = 0;
  EXPECT_THAT(MistakeOf(kWorld, manifest),
              HasSubstr("no whole episode of 1000 tokens in its held-out split of 0 tokens"));
  manifest.heldout_tokens = 1000;
  EXPECT_EQ(MistakeOf(kWorld, manifest), "");
}

}  // namespace
}  // namespace allometry::sweep
