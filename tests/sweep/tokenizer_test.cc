// A sweep with a tokenizer: its run, and the grid that reads its tokens.
#include <string>
#include <vector>

#include "coordinator/sweep/stopping_expansion.h"
#include "data/generated.h"
#include "gmock/gmock.h"
#include "proto/run_choices.h"
#include "tests/sweep/stored_sweep.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr char kTokenized[] = R"(name: demo
dataset: walk
model: {frames: 2, sizes: [5k, 20k]}
tokenizer: {grid: 4, codebook: 32, width: 16, steps: 200, batch_images: 16, learning_rate: 2e-3}
training:
  batch_sequences: 16
  objective: observation
  warmup_steps: 10
  learning_rate: 3e-3
budgets: {tokens: [20k, 200k]}
)";

TEST(TokenizerTest, IsTheFirstRunAndInTheKeysOfTheOthers) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kTokenized, Walk()));
  ASSERT_EQ(expansion.runs.size(), 3u);
  const v1::Run& tokenizer = expansion.runs[0];
  EXPECT_EQ(tokenizer.stage(), "tokenizer");
  EXPECT_EQ(tokenizer.spec().kind(), "tokenizer");
  EXPECT_EQ(tokenizer.spec().steps(), 200);
  EXPECT_EQ(*tokenizer.spec().evaluation_steps().rbegin(), 200);
  const v1::RunIdentity& recipe = tokenizer.spec().identity();
  EXPECT_EQ(recipe.shape().family(), "vqvae");
  EXPECT_EQ(recipe.shape().context(), 16);
  EXPECT_EQ(recipe.shape().vocabulary(), 32);
  EXPECT_EQ(recipe.batch_tokens(), 16 * 16);
  EXPECT_EQ(recipe.decay_end(), 200);
  EXPECT_EQ(recipe.warmup_steps(), 20);
  for (const v1::Cell& cell : expansion.cells) EXPECT_GT(cell.run_id(), 1);
  for (size_t i = 1; i < 3; ++i) {
    const v1::RunSpec& spec = expansion.runs[i].spec();
    EXPECT_EQ(spec.identity().tokenizer_key(), tokenizer.key());
    ASSERT_EQ(spec.inputs_size(), 1);
    EXPECT_EQ(spec.inputs(0).kind(), "tokenizer");
    EXPECT_EQ(spec.inputs(0).run_key(), tokenizer.key());
    // Two frames of 16 codes and an action; 32 codes and 9 actions.
    EXPECT_EQ(spec.identity().shape().context(), 2 * 17);
    EXPECT_EQ(spec.identity().shape().vocabulary(), 41);
    EXPECT_EQ(spec.identity().dataset_hash(), "00000000000000dd");
  }
  // Another tokenizer gives all of them other keys.
  ASSERT_OK_AND_ASSIGN(const Expansion other,
                       ExpandText(SweepWith("steps: 200", "steps: 300", kTokenized), Walk()));
  for (size_t i = 0; i < 3; ++i) EXPECT_NE(other.runs[i].key(), expansion.runs[i].key());
}

TEST(TokenizerTest, EpochsAreThoseOfTheTokensThatAreRead) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kTokenized, Walk()));
  // Ten windows of two frames an episode, 1000 episodes: 10,000 windows an epoch.
  for (const v1::Cell& cell : expansion.cells) {
    EXPECT_DOUBLE_EQ(cell.epochs(), static_cast<double>(cell.step()) * 16 / 10'000);
  }
}

TEST(TokenizerTest, BranchesHaveTheirTrunkAndTheTokenizer) {
  const std::string yaml =
      SweepWith("warmup_steps: 10", "schedule: wsd\n  warmup_steps: 10", kTokenized);
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(yaml, Walk()));
  ASSERT_EQ(expansion.runs.size(), 1u + 2u * 3u);
  const v1::RunSpec& branch = expansion.runs[2].spec();
  ASSERT_EQ(branch.inputs_size(), 2);
  ASSERT_NE(TrunkOf(branch), nullptr);
  EXPECT_EQ(TrunkOf(branch)->run_key(), expansion.runs[1].key());
  // Submitted again with one more budget, the new branch leaves the stored trunk all the same.
  ASSERT_OK_AND_ASSIGN(const Changes first, Difference(StoredSweep(), expansion));
  StoredSweep stored;
  Apply(first, stored);
  ASSERT_OK_AND_ASSIGN(const Expansion more,
                       ExpandText(SweepWith("[20k, 200k]", "[20k, 200k, 400k]", yaml), Walk()));
  ASSERT_OK_AND_ASSIGN(const Changes changes, Difference(stored, more));
  ASSERT_EQ(changes.new_runs.size(), 2u);
  EXPECT_EQ(changes.new_runs[0].spec().inputs_size(), 2);
}

TEST(TokenizerTest, ALadderTrainsItOnceAndItIsNoTuningRun) {
  const std::string yaml = SweepWith(
      "learning_rate: 3e-3\nbudgets",
      "learning_rate: {ladder: {rates: [1e-3, 2e-3, 4e-3], tune: {tokens: 10k}}}\nbudgets",
      kTokenized);
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(yaml, Walk()));
  ASSERT_EQ(expansion.runs.size(), 1u + 3u);
  EXPECT_EQ(expansion.runs[0].stage(), "tokenizer");
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(expansion.runs[i].stage(), "ladder");
    EXPECT_EQ(expansion.runs[i].spec().identity().tokenizer_key(), expansion.runs[0].key());
  }
}

TEST(TokenizerTest, StaysWholeWhereBudgetsAreGrantedOneByOne) {
  ASSERT_OK_AND_ASSIGN(
      const Expansion whole,
      ExpandText(SweepWith("{tokens: [20k, 200k]}", "{flops: [1e9, 4e9, 1.6e10]}", kTokenized),
                 Walk()));
  const Expansion part = UpTo(whole, {{"5k", 1e9}, {"20k", 4e9}});
  ASSERT_EQ(part.runs.size(), 3u);
  EXPECT_EQ(part.runs[0].SerializeAsString(), whole.runs[0].SerializeAsString());
  EXPECT_LT(part.runs[1].spec().steps(), whole.runs[1].spec().steps());
  for (const v1::Cell& cell : part.cells) {
    EXPECT_EQ(part.runs[static_cast<size_t>(cell.run_id() - 1)].size(), cell.size());
  }
}

TEST(TokenizerTest, TheSameFileAgainChangesNothingAndAnotherTokenizerIsRefused) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kTokenized, Walk()));
  ASSERT_OK_AND_ASSIGN(const Changes first, Difference(StoredSweep(), expansion));
  StoredSweep stored;
  Apply(first, stored);
  ASSERT_OK_AND_ASSIGN(const Changes same, Difference(stored, expansion));
  EXPECT_TRUE(same.empty());
  ASSERT_OK_AND_ASSIGN(const Expansion other,
                       ExpandText(SweepWith("grid: 4", "grid: 8", kTokenized), Walk()));
  EXPECT_THAT(Difference(stored, other),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("has tokenizer vqvae, 4 x 4 codes of 32, 200 steps (key ")));
  // What is new is named.
  ASSERT_OK_AND_ASSIGN(const Changes fresh, Difference(StoredSweep(), expansion));
  EXPECT_THAT(fresh.lines, Contains(HasSubstr("adds the tokenizer vqvae, 4 x 4 codes of 32")));
  // Another window is found though the first run is the tokenizer's.
  ASSERT_OK_AND_ASSIGN(const Expansion window,
                       ExpandText(SweepWith("frames: 2", "frames: 4", kTokenized), Walk()));
  EXPECT_THAT(Difference(stored, window),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has context 34")));
}

TEST(TokenizerTest, AGeneratedDatasetIsReadWithoutEnd) {
  const char kText[] = "strata:universe=7,view=8,zo=16,pixels=32,frames=8";
  ASSERT_OK_AND_ASSIGN(const data::Manifest manifest, data::GeneratedManifest(kText));
  ASSERT_OK_AND_ASSIGN(
      const Expansion expansion,
      ExpandText(SweepWith("dataset: walk", std::string("dataset: \"") + kText + "\"", kTokenized),
                 manifest));
  for (const v1::Cell& cell : expansion.cells) EXPECT_EQ(cell.epochs(), 1);
}

TEST(TokenizerTest, MistakesAreNamedWithTheirLine) {
  const auto message = [](absl::string_view from, absl::string_view to,
                          const data::Manifest& manifest = Walk()) {
    return std::string(ExpandText(SweepWith(from, to, kTokenized), manifest).status().message());
  };
  EXPECT_THAT(message("grid: 4", "grid: 64"),
              HasSubstr("sweeps/a.yaml:4: tokenizer: image_height 32 is not allowed: a grid of 64 "
                        "needs at least as many pixels"));
  EXPECT_THAT(message("grid: 4, ", ""), HasSubstr("grid"));
  EXPECT_THAT(message("grid: 4", "family: gpt, grid: 4"),
              HasSubstr("family gpt is not known: allowed are vqvae, vqgan, vit-vq"));
  EXPECT_THAT(message("width: 16", "width: 20"), HasSubstr("a multiple of 8"));
  EXPECT_THAT(message("steps: 200", "steps: 200, warmup_steps: 200"),
              HasSubstr("warmup_steps 200 are not fewer than its steps 200"));
  EXPECT_THAT(message("model: {", "model: {family: vqvae, "),
              HasSubstr("family vqvae is a tokenizer: it goes into the section tokenizer"));
  EXPECT_THAT(message("model: {", "model: {family: bc-cnn, "),
              HasSubstr("family bc-cnn sees the images themselves"));
  data::Manifest blind = Walk();
  blind.frames->image_height = blind.frames->image_width = blind.frames->image_channels = 0;
  EXPECT_THAT(message("name: demo", "name: demo", blind),
              HasSubstr("tokenizer: dataset walk has no frames with images"));
  EXPECT_THAT(message("budgets", "device: cuda\nbudgets"),
              HasSubstr("tokenizers are trained and used on CPUs"));
}

}  // namespace
}  // namespace allometry::sweep
