#include "coordinator/sweep/expansion.h"

#include <cmath>
#include <string>
#include <vector>

#include "models/shape.h"
#include "proto/run_conversion.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// Of kOneShape: blocks 2 (12 32^2 + 13 32) + 64 = 25472, token table 3168, position table 1024
constexpr int64_t kBlocks = 25472;
constexpr int64_t kPaper = 28640;

std::vector<int64_t> Steps(const Expansion& expansion) {
  std::vector<int64_t> steps;
  for (const v1::Cell& cell : expansion.cells) steps.push_back(cell.step());
  return steps;
}

TEST(ExpansionTest, CellsThatDifferOnlyInTokensShareOneRun) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kSweep));
  ASSERT_EQ(expansion.runs.size(), 3u);
  EXPECT_EQ(expansion.sweep.runs(), 3);
  EXPECT_EQ(expansion.cells.size() + expansion.sweep.left_out_size(), 9u);
  for (const v1::Cell& cell : expansion.cells) {
    const v1::Run& run = expansion.runs.at(cell.run_id() - 1);
    EXPECT_EQ(run.run_id(), cell.run_id());
    EXPECT_EQ(run.size(), cell.size());
    EXPECT_LE(cell.step(), run.spec().steps());
    EXPECT_EQ(run.n_params(), cell.params());
    EXPECT_THAT(run.spec().evaluation_steps(), Contains(cell.step()));
  }
  for (const v1::Run& run : expansion.runs) EXPECT_EQ(run.key(), RunKey(run.spec().identity()));
}

TEST(ExpansionTest, ARunCarriesEverythingThatAnAttemptNeeds) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(absl::StrCat(kOneShape, R"(
log_every: 7
checkpoint_every: 5s
devices: 2
device: cuda
deterministic: true
evaluation: {windows: 64}
)")));
  ASSERT_EQ(expansion.runs.size(), 1u);
  const v1::Run& run = expansion.runs[0];
  const v1::RunSpec& spec = run.spec();
  const v1::RunIdentity& identity = spec.identity();
  EXPECT_EQ(run.size(), "2x32");
  EXPECT_EQ(run.state(), v1::PENDING);
  EXPECT_EQ(identity.shape().family(), "gpt");
  EXPECT_EQ(identity.shape().layers(), 2);
  EXPECT_EQ(identity.shape().heads(), 1);
  EXPECT_EQ(identity.shape().width(), 32);
  EXPECT_EQ(identity.shape().context(), 32);
  EXPECT_EQ(identity.shape().vocabulary(), 99);
  EXPECT_EQ(identity.dataset(), "words");
  EXPECT_EQ(identity.dataset_hash(), Words().hash);
  EXPECT_EQ(identity.tokenizer_hash(), Words().tokenizer_hash);
  EXPECT_EQ(identity.batch_tokens(), 4096);
  EXPECT_EQ(identity.schedule(), "constant");
  EXPECT_EQ(identity.warmup_steps(), 10);
  EXPECT_EQ(identity.learning_rate(), 3e-3);
  EXPECT_EQ(identity.seed(), 1);
  EXPECT_EQ(identity.optimizer().beta1(), 0.9);
  EXPECT_EQ(identity.optimizer().beta2(), 0.95);
  EXPECT_EQ(identity.optimizer().weight_decay(), 0.1);
  EXPECT_EQ(identity.optimizer().epsilon(), 1e-8);
  EXPECT_EQ(identity.optimizer().clip_norm(), 1);
  EXPECT_EQ(spec.steps(), 244);  // 1M / 4096 = 244.14
  EXPECT_EQ(spec.log_every(), 7);
  EXPECT_EQ(spec.checkpoint_every_s(), 5);
  EXPECT_EQ(spec.evaluation_windows(), 64);
  EXPECT_EQ(spec.ranks(), 2);
  EXPECT_EQ(spec.micro_batch(), 0);
  EXPECT_EQ(spec.device(), "cuda");
  EXPECT_TRUE(spec.deterministic());
  EXPECT_EQ(spec.step_backend(), "auto");
  EXPECT_FALSE(spec.has_start());
  EXPECT_EQ(run.params().blocks(), kBlocks);
  EXPECT_EQ(run.params().token_embedding(), 99 * 32);
  EXPECT_EQ(run.params().position_embedding(), 32 * 32);
  EXPECT_EQ(run.params().head(), 0);
  EXPECT_EQ(run.params().extra(), 0);
  EXPECT_EQ(run.n_params(), kPaper);
  EXPECT_EQ(run.flops_per_token_6n(), 6.0 * kPaper);
  EXPECT_EQ(run.flops_per_token_exact(), models::FlopsPerTokenExact({"gpt", 2, 1, 32, 32, 99}));
}

TEST(ExpansionTest, TokensAreWholeStepsNearestToWhatIsAsked) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kOneShape));
  ASSERT_EQ(expansion.cells.size(), 2u);
  const v1::Cell& cell = expansion.cells[0];
  EXPECT_EQ(cell.asked_tokens(), 100'000);
  EXPECT_EQ(cell.step(), 24);  // 24.4
  EXPECT_EQ(cell.tokens(), 24 * 4096);
  EXPECT_EQ(cell.asked_flops(), 0);
  EXPECT_DOUBLE_EQ(cell.flops(), 24.0 * 4096 * 6 * kPaper);
  EXPECT_DOUBLE_EQ(cell.epochs(), 24.0 * 4096 / (1'124'999 * 32));
}

TEST(ExpansionTest, ABudgetBelowHalfAStepIsOneStep) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion,
                       ExpandText(SweepWith("warmup_steps: 10", "warmup_steps: 0",
                                            SweepWith("100_000", "1", kOneShape))));
  EXPECT_EQ(expansion.cells[0].asked_tokens(), 1);
  EXPECT_EQ(expansion.cells[0].step(), 1);
}

TEST(ExpansionTest, FlopBudgetsAreDividedByTheConventionsCostOfAToken) {
  const std::string flops = SweepWith("tokens: [100_000, 1M]", "flops: [1e11]", kOneShape);
  ASSERT_OK_AND_ASSIGN(const Expansion by_6nd, ExpandText(flops));
  ASSERT_OK_AND_ASSIGN(const Expansion exact,
                       ExpandText(absl::StrCat(flops, "conventions: {flops: exact}\n")));
  const v1::Cell& cell = by_6nd.cells[0];
  EXPECT_EQ(cell.asked_flops(), 1e11);
  EXPECT_DOUBLE_EQ(cell.asked_tokens(), 1e11 / (6.0 * kPaper));
  EXPECT_THAT(cell.flops(), DoubleNear(1e11, 0.5 * 4096 * 6 * kPaper));
  const double per_token = exact.runs[0].flops_per_token_exact();
  EXPECT_GT(per_token, 0);
  EXPECT_NE(per_token, 6.0 * kPaper);
  EXPECT_DOUBLE_EQ(exact.cells[0].asked_tokens(), 1e11 / per_token);
  EXPECT_DOUBLE_EQ(exact.cells[0].flops(), exact.cells[0].tokens() * per_token);
  EXPECT_EQ(exact.sweep.flops_convention(), "exact");
}

TEST(ExpansionTest, TokensPerParamMultiplyTheBuiltN) {
  ASSERT_OK_AND_ASSIGN(
      const Expansion expansion,
      ExpandText(SweepWith("tokens: [100_000, 1M]", "tokens_per_param: [20]", kOneShape)));
  EXPECT_EQ(expansion.cells[0].asked_tokens(), 20.0 * kPaper);
}

TEST(ExpansionTest, NFollowsTheParameterPolicy) {
  ASSERT_OK_AND_ASSIGN(
      const Expansion expansion,
      ExpandText(absl::StrCat(kOneShape, "conventions: {params: non-embedding}\n")));
  EXPECT_EQ(expansion.runs[0].n_params(), kBlocks);
  EXPECT_EQ(expansion.cells[0].params(), kBlocks);
  EXPECT_EQ(expansion.sweep.params_policy(), "non-embedding");
  EXPECT_EQ(expansion.runs[0].flops_per_token_6n(), 6.0 * kBlocks);
}

TEST(ExpansionTest, SizesAreBuiltNearToWhatIsAsked) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kSweep));
  const double asked[] = {5e3, 20e3, 80e3};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(expansion.runs[i].n_params() / asked[i], 1, 0.25) << expansion.runs[i].size();
  }
}

TEST(ExpansionTest, EverySeedIsARunOfItsOwn) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion,
                       ExpandText(SweepWith("learning_rate: 3e-3",
                                            "learning_rate: 3e-3\n  seeds: [3, 5]", kOneShape)));
  ASSERT_EQ(expansion.runs.size(), 2u);
  EXPECT_EQ(expansion.runs[0].spec().identity().seed(), 3);
  EXPECT_EQ(expansion.runs[1].spec().identity().seed(), 5);
  EXPECT_NE(expansion.runs[0].key(), expansion.runs[1].key());
  EXPECT_EQ(expansion.cells.size(), 4u);
}

TEST(ExpansionTest, KeysDependOnWhatShapesTheNumbersAndOnNothingElse) {
  ASSERT_OK_AND_ASSIGN(const Expansion plain, ExpandText(kOneShape));
  const auto key_with = [](absl::string_view from, absl::string_view to) {
    const auto expansion = ExpandText(SweepWith(from, to, kOneShape));
    EXPECT_OK(expansion);
    return expansion.ok() ? expansion->runs[0].key() : "";
  };
  const std::string key = plain.runs[0].key();
  EXPECT_EQ(key, key_with("tokens: [100_000, 1M]", "tokens: [5M]"));
  EXPECT_EQ(key, key_with("tokens: [100_000, 1M]", "flops: [1e12]"));
  EXPECT_EQ(key, key_with("width: 32", "width: 32, label: small"));
  EXPECT_EQ(key, key_with("name: demo",
                          "name: other\nlog_every: 3\ncheckpoint_every: 1m\n"
                          "devices: 4\ndevice: cuda\npriority: 2\nmax_epochs: 1\n"
                          "conventions: {params: total, flops: exact}\n"
                          "evaluation: {windows: 9, per_decade: 3}"));
  EXPECT_NE(key, key_with("learning_rate: 3e-3", "learning_rate: 2e-3"));
  EXPECT_NE(key, key_with("batch_tokens: 4096", "batch_tokens: 2048"));
  EXPECT_NE(key, key_with("warmup_steps: 10", "warmup_steps: 11"));
  EXPECT_NE(key, key_with("context: 32", "context: 16"));
  EXPECT_NE(key, key_with("layers: 2", "layers: 1"));
  data::Manifest changed = Words();
  changed.hash = "00000000000000de";
  ASSERT_OK_AND_ASSIGN(const Expansion other_data, ExpandText(kOneShape, changed));
  EXPECT_NE(key, other_data.runs[0].key());
}

TEST(ExpansionTest, EvaluationsAreTwentyADecadeAfterTheWarmUpAndAtEveryCell) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kOneShape));
  const auto& steps = expansion.runs[0].spec().evaluation_steps();
  // 10^(21/20) = 11.2, 10^(22/20) = 12.6, ...; 24 is a cell, as is the last.
  EXPECT_THAT(std::vector<int64_t>(steps.begin(), steps.end()),
              ElementsAre(11, 13, 14, 16, 18, 20, 22, 24, 25, 28, 32, 35, 40, 45, 50, 56, 63, 71,
                          79, 89, 100, 112, 126, 141, 158, 178, 200, 224, 244));
}

TEST(ExpansionTest, ALargerBudgetOnlyAddsEvaluations) {
  ASSERT_OK_AND_ASSIGN(const Expansion small, ExpandText(kOneShape));
  ASSERT_OK_AND_ASSIGN(const Expansion large, ExpandText(SweepWith("1M]", "1M, 10M]", kOneShape)));
  const auto& few = small.runs[0].spec().evaluation_steps();
  const auto& many = large.runs[0].spec().evaluation_steps();
  ASSERT_GT(many.size(), few.size());
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

TEST(ExpansionTest, CellsBeyondMaxEpochsAreLeftOutWithTheReason) {
  const std::string yaml =
      absl::StrCat(SweepWith("1M]", "100M, 200M]", kOneShape), "max_epochs: 4\n");
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(yaml));
  EXPECT_THAT(Steps(expansion), ElementsAre(24, 24414));  // 100M tokens are 2.8 epochs
  EXPECT_THAT(expansion.sweep.left_out(),
              ElementsAre("2x32 at 200M tokens: 5.556 epochs of words, more than max_epochs 4"));
  EXPECT_EQ(expansion.runs[0].spec().steps(), 24414);
  ASSERT_OK_AND_ASSIGN(const Expansion repeated,
                       ExpandText(absl::StrCat(yaml, "allow_repeat: true\n")));
  EXPECT_EQ(repeated.cells.size(), 3u);
  EXPECT_EQ(repeated.sweep.left_out_size(), 0);
  EXPECT_EQ(repeated.sweep.max_epochs(), 4);
}

TEST(ExpansionTest, CellsThatEndWithinTheWarmUpAreLeftOutWithTheReason) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion,
                       ExpandText(SweepWith("warmup_steps: 10", "warmup_steps: 24", kOneShape)));
  EXPECT_THAT(Steps(expansion), ElementsAre(244));
  EXPECT_THAT(expansion.sweep.left_out(),
              ElementsAre("2x32 at 100_000 tokens: 24 steps, within the warm-up of 24 steps"));
}

TEST(ExpansionTest, ARunWithoutACellIsNotMadeAndThePlanSaysSo) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion,
                       ExpandText(SweepWith("max_epochs: 100", "max_epochs: 0.4")));
  // 5k at 1e10 FLOPs is 0.009 epochs and 80k at 1e12 is 0.06, 5k at 1e12 0.9.
  ASSERT_EQ(expansion.runs.size(), 3u);
  ASSERT_OK_AND_ASSIGN(const Expansion without,
                       ExpandText(SweepWith("flops: [1e10, 1e11, 1e12]", "flops: [2e12]",
                                            SweepWith("max_epochs: 100", "max_epochs: 0.5"))));
  ASSERT_EQ(without.runs.size(), 2u);
  EXPECT_EQ(without.runs[0].size(), "20k");
  EXPECT_THAT(without.sweep.left_out(),
              ElementsAre(AllOf(StartsWith("5k at 2e12 FLOPs: "),
                                HasSubstr("epochs of words, more than max_epochs 0.5")),
                          "5k: no run, as all its cells are left out"));
}

TEST(ExpansionTest, TwoBudgetsOnOneStepAreOneCell) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion,
                       ExpandText(SweepWith("[100_000, 1M]", "[100_000, 100_001]", kOneShape)));
  EXPECT_THAT(Steps(expansion), ElementsAre(24));
  EXPECT_THAT(expansion.sweep.left_out(),
              ElementsAre("2x32 at 100_001 tokens: step 24, as of a smaller budget"));
}

TEST(ExpansionTest, ASweepWithoutACellIsRefused) {
  EXPECT_THAT(ExpandText(absl::StrCat(kOneShape, "max_epochs: 1e-6\n")),
              StatusIs(kInvalid, HasSubstr("sweeps/a.yaml:11: no cell of the sweep can be trained: "
                                           "2x32 at 100_000 tokens: ")));
}

TEST(ExpansionTest, TwoSizesOfOneShapeAreRefusedWithBothNames) {
  const auto expansion = ExpandText(SweepWith("[5k, 20k, 80k]", "[5k, 5010, 80k]"));
  EXPECT_THAT(expansion,
              StatusIs(kInvalid, AllOf(StartsWith("sweeps/a.yaml:6: sizes 5k and 5010 are one "
                                                  "shape ("),
                                       HasSubstr("width"), HasSubstr("leave one out"))));
}

TEST(ExpansionTest, AllThatIsWrongWithTheSizesIsSaidAtOnce) {
  const auto expansion = ExpandText(
      SweepWith("sizes: [5k, 20k, 80k]", "sizes:\n    - 10\n    - 5k\n    - 5010\n    - 20"));
  ASSERT_THAT(expansion, StatusIs(kInvalid, StartsWith("sweeps/a.yaml:7: size 10: ")));
  EXPECT_THAT(std::string(expansion.status().message()),
              AllOf(HasSubstr("\nsweeps/a.yaml:9: sizes 5k and 5010 are one shape"),
                    HasSubstr("\nsweeps/a.yaml:10: size 20: ")));
}

TEST(ExpansionTest, AManifestOfAnotherDatasetIsRefused) {
  data::Manifest manifest = Words();
  manifest.name = "sentences";
  EXPECT_THAT(ExpandText(kSweep, manifest),
              StatusIs(kInvalid,
                       "sweeps/a.yaml:2: dataset words, but the manifest that came with "
                       "the file is of sentences"));
  manifest = Words();
  manifest.vocabulary = 0;
  manifest.unique_tokens = 0;
  EXPECT_THAT(ExpandText(kSweep, manifest),
              StatusIs(kInvalid, AllOf(HasSubstr("a vocabulary of 0: allowed is 1 to 16777216"),
                                       HasSubstr("no token to train on"))));
}

TEST(ExpansionTest, BudgetsBeyondCountingAreRefused) {
  EXPECT_THAT(ExpandText(SweepWith("flops: [1e10, 1e11, 1e12]", "flops: [1e10, 1e25]")),
              StatusIs(kInvalid, AllOf(StartsWith("sweeps/a.yaml:13: 5k at 1e25 FLOPs: "),
                                       HasSubstr("allowed are at most 1e15"))));
}

}  // namespace
}  // namespace allometry::sweep
