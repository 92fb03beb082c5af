#include "coordinator/sweep/sweep_file.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "coordinator/sweep/renamed.h"
#include "coordinator/sweep/sweep_reader.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::vector<std::string> MistakesOf(absl::string_view yaml) {
  const auto file = ParseSweepFile(yaml, "a.yaml");
  if (file.ok()) return {};
  EXPECT_EQ(file.status().code(), kInvalid);
  return absl::StrSplit(file.status().message(), '\n');
}

TEST(SweepFileTest, ReadsAWholeSweep) {
  ASSERT_OK_AND_ASSIGN(const SweepFile file, ParseSweepFile(R"(
name: whole
dataset: gcide-chars
model:
  family: gpt
  context: 32
  sizes: [5k, 1.2M]
training:
  batch_tokens: 4_096
  schedule: constant
  warmup_steps: 100
  learning_rate: {5k: 1.0e-2, 1.2M: 2e-3}
  seeds: [1, 7]
  optimizer: {beta1: 0.8, beta2: 0.99, weight_decay: 0, epsilon: 1e-9, clip_norm: 0}
budgets:
  tokens: [2M, 1M]
conventions: {params: non-embedding, flops: exact}
max_epochs: 2
allow_repeat: true
devices: {default: 1, 1.2M: 4}
device: cuda
deterministic: true
evaluation: {windows: 2048, per_decade: 10}
log_every: 5
checkpoint_every: 1.5m
priority: -3
limits: {max_device_hours: 1.5, max_run_hours: 0.25}
)",
                                                            "a.yaml"));
  EXPECT_EQ(file.name, "whole");
  EXPECT_EQ(file.max_device_hours, 1.5);
  EXPECT_EQ(file.max_run_hours, 0.25);
  EXPECT_EQ(file.dataset, "gcide-chars");
  EXPECT_EQ(file.context, 32);
  ASSERT_EQ(file.sizes.size(), 2u);
  EXPECT_EQ(file.sizes[0].label, "5k");
  EXPECT_EQ(file.sizes[0].params, 5000);
  EXPECT_EQ(file.sizes[0].learning_rate, 1e-2);
  EXPECT_EQ(file.sizes[0].ranks, 1);
  EXPECT_EQ(file.sizes[0].line, 7);
  EXPECT_EQ(file.sizes[1].params, 1'200'000);
  EXPECT_EQ(file.sizes[1].learning_rate, 2e-3);
  EXPECT_EQ(file.sizes[1].ranks, 4);
  EXPECT_EQ(file.batch_tokens, 4096);
  EXPECT_EQ(file.recipe.warmup_steps, 100);
  EXPECT_THAT(file.seeds, ElementsAre(1, 7));
  EXPECT_EQ(file.recipe.optimizer.beta1, 0.8);
  EXPECT_EQ(file.recipe.optimizer.beta2, 0.99);
  EXPECT_EQ(file.recipe.optimizer.weight_decay, 0);
  EXPECT_EQ(file.recipe.optimizer.epsilon, 1e-9);
  EXPECT_EQ(file.recipe.optimizer.clip_norm, 0);
  EXPECT_EQ(file.budget_kind, BudgetKind::kTokens);
  ASSERT_EQ(file.budgets.size(), 2u);
  EXPECT_EQ(file.budgets[0].label, "1M");
  EXPECT_EQ(file.budgets[1].value, 2e6);
  EXPECT_EQ(file.params_policy, models::ParamPolicy::kNonEmbedding);
  EXPECT_EQ(file.flops_convention, run::FlopsConvention::kExact);
  EXPECT_EQ(file.max_epochs, 2);
  EXPECT_TRUE(file.allow_repeat);
  EXPECT_EQ(file.device, run::DeviceKind::kCuda);
  EXPECT_TRUE(file.deterministic);
  EXPECT_EQ(file.evaluation_windows, 2048);
  EXPECT_EQ(file.evaluations_per_decade, 10);
  EXPECT_EQ(file.log_every, 5);
  EXPECT_EQ(file.checkpoint_every_s, 90);
  EXPECT_EQ(file.priority, -3);
}

TEST(SweepFileTest, DefaultsAreThoseOfTheHeader) {
  ASSERT_OK_AND_ASSIGN(const SweepFile file,
                       ParseSweepFile(SweepWith("  warmup_steps: 10\n", ""), "a.yaml"));
  const SweepFile defaults;
  EXPECT_EQ(file.recipe.warmup_steps, 100);
  EXPECT_EQ(file.recipe.optimizer.beta2, 0.95);
  EXPECT_EQ(file.evaluation_windows, defaults.evaluation_windows);
  EXPECT_EQ(file.params_policy, models::ParamPolicy::kPaper);
  EXPECT_EQ(file.flops_convention, run::FlopsConvention::k6nd);
  EXPECT_FALSE(file.allow_repeat);
}

struct Mistake {
  const char* from;  // replaced in kSweep
  const char* to;
  const char* message;
};

class SweepFileMistakeTest : public ::testing::TestWithParam<Mistake> {};

TEST_P(SweepFileMistakeTest, IsNamedWithItsLineItsValueAndWhatIsAllowed) {
  const Mistake& mistake = GetParam();
  EXPECT_THAT(ParseSweepFile(SweepWith(mistake.from, mistake.to), "a.yaml"),
              StatusIs(kInvalid, mistake.message));
}

INSTANTIATE_TEST_SUITE_P(
    All, SweepFileMistakeTest,
    ::testing::Values(
        // Names.
        Mistake{"name: demo\n", "", "a.yaml:1: name is missing: the sweep's name"},
        Mistake{"name: demo", "name: ../demo",
                "a.yaml:1: name '../demo' is not a name: allowed are 1 to 64 letters, digits, . _ "
                "and -, a letter or digit first"},
        Mistake{"name: demo", "name: [a]", "a.yaml:1: name is a list: a word is expected"},
        Mistake{"name: demo", "name:", "a.yaml:1: name has no value"},
        Mistake{"dataset: words", "dataset: a b",
                "a.yaml:2: dataset 'a b' is not a name: allowed are 1 to 64 letters, digits, . _ "
                "and -, a letter or digit first"},
        // Keys.
        Mistake{"  batch_tokens: 4096", "  batch_token: 4096",
                "a.yaml:7: batch_tokens is missing under training: tokens an update over all "
                "devices, a multiple of context\n"
                "a.yaml:8: unknown key batch_token: did you mean batch_tokens?"},
        Mistake{
            "max_epochs: 100", "epochs: 100",
            "a.yaml:14: unknown key epochs: did you mean max_epochs, how often data may repeat? "
            "The length of a run is a budget (budgets.tokens)"},
        Mistake{"max_epochs: 100", "evaluation: {batch: 3}",
                "a.yaml:14: unknown key batch: allowed are windows, per_decade, keep"},
        Mistake{"max_epochs: 100", "training_: 1\nlr: 1e-3",
                "a.yaml:14: unknown key training_: did you mean training?\n"
                "a.yaml:15: unknown key lr: the learning rate is training.learning_rate"},
        Mistake{"  context: 32", "  context: 32\n  n_layer: 12",
                "a.yaml:6: unknown key n_layer: layers are model.shapes[].layers; model.sizes "
                "chooses shapes by their parameters"},
        Mistake{
            "  context: 32", "  context: 32\n  size: 124M",
            "a.yaml:6: unknown key size: sizes are a list: model.sizes, such as [5k, 20k, 80k]"},
        Mistake{"training:\n", "training:\n  optimizer: {name: muon}\n",
                "a.yaml:8: name muon is not known: the only one is adamw"},
        Mistake{"training:\n", "training:\n  optimizer: muon\n",
                "a.yaml:8: optimizer muon: AdamW is the only optimizer; allowed is a map of its "
                "settings, with beta1, beta2, weight_decay, epsilon, clip_norm, name"},
        Mistake{"training:\n", "training:\n  batch_size: 32\n",
                "a.yaml:8: unknown key batch_size: the batch is training.batch_tokens, in tokens, "
                "or training.batch_sequences"},
        Mistake{"max_epochs: 100", "seeds: [1]",
                "a.yaml:14: unknown key seeds: it belongs under training"},
        Mistake{"  context: 32", "  context: 32\n  priority: 3",
                "a.yaml:6: unknown key priority: it belongs at the top level"},
        Mistake{"devices: 1", "max_epochs: 2",
                "a.yaml:15: max_epochs is given twice, first on line 14: one is allowed"},
        Mistake{"devices: 1", "? [a, b]\n: 1",
                "a.yaml:15: a key of the file is a list: a word is expected"},
        // Sections.
        Mistake{"training:\n", "training: 5\nbudgets_:\n",
                "a.yaml:7: training is a single value: a map is expected, with batch_tokens, "
                "batch_sequences, objective, objective_seed, schedule, "
                "learning_rate, seeds, optimizer, decay_fraction, "
                "final_rate_fraction, warmup_steps, precision\n"
                "a.yaml:8: unknown key budgets_: did you mean budgets?"},
        Mistake{
            "max_epochs: 100", "evaluation: [1]",
            "a.yaml:14: evaluation is a list: a map is expected, with windows, per_decade, keep"},
        // Numbers.
        Mistake{"context: 32", "context: 0",
                "a.yaml:5: context 0 is out of range: allowed is from 1 to 1e6"},
        Mistake{"context: 32", "context: 32.5", "a.yaml:5: context 32.5 is not a whole number"},
        Mistake{"context: 32", "context: many",
                "a.yaml:5: context many is not a number such as 5k, 1.2M, 3e10 or 1_000"},
        Mistake{"context: 32", "context: {a: 1}",
                "a.yaml:5: context is a map: a number is expected"},
        Mistake{"batch_tokens: 4096", "batch_tokens: 500",
                "a.yaml:8: batch_tokens 500 is not a multiple of context 32"},
        Mistake{"batch_tokens: 4096", "batch_tokens: -4096",
                "a.yaml:8: batch_tokens -4096 is out of range: allowed is from 1 to 1e12"},
        Mistake{"batch_tokens: 4096", "batch_tokens: 1e400",
                "a.yaml:8: batch_tokens 1e400 is too large for a number"},
        Mistake{"warmup_steps: 10", "warmup_steps: 10\n  precision: tf32",
                "a.yaml:10: precision tf32 with device cpu: allowed is fp32, bf16 on CPUs (tf32 is "
                "a mode of GPUs)"},
        Mistake{"warmup_steps: 10", "warmup_steps: 10\n  precision: fp8",
                "a.yaml:10: precision fp8 is not known: allowed are fp32, tf32, bf16"},
        Mistake{"warmup_steps: 10", "warmup_steps: -1",
                "a.yaml:9: warmup_steps -1 is out of range: allowed is from 0 to 1e9"},
        Mistake{"learning_rate: 3e-3", "learning_rate: .nan",
                "a.yaml:10: learning_rate .nan is not a number such as 5k, 1.2M, 3e10 or 1_000"},
        Mistake{"learning_rate: 3e-3", "learning_rate: 0",
                "a.yaml:10: learning_rate 0 is out of range: allowed is above 0 to 100"},
        Mistake{"max_epochs: 100", "max_epochs: inf",
                "a.yaml:14: max_epochs inf is not a number such as 5k, 1.2M, 3e10 or 1_000"},
        Mistake{"max_epochs: 100", "priority: 5000",
                "a.yaml:14: priority 5000 is out of range: allowed is from -1000 to 1000"},
        Mistake{"max_epochs: 100", "evaluation: {windows: 0}",
                "a.yaml:14: windows 0 is out of range: allowed is from 1 to 1e9"},
        Mistake{"seeds: [1]", "optimizer: {beta1: 1}",
                "a.yaml:11: beta1 1 is out of range: allowed is from 0 to below 1"},
        // Words.
        Mistake{"max_epochs: 100", "device: tpu",
                "a.yaml:14: device tpu is not known: allowed are cpu, cuda"},
        Mistake{"max_epochs: 100", "deterministic: maybe",
                "a.yaml:14: deterministic maybe is neither true nor false"},
        Mistake{"max_epochs: 100", "checkpoint_every: 10",
                "a.yaml:14: checkpoint_every 10 is not a time with its unit, such as 500ms, 30s, "
                "5m, 2h or 1d"},
        Mistake{"max_epochs: 100", "checkpoint_every: 1ms",
                "a.yaml:14: checkpoint_every 1ms is out of range: allowed is from 0.1 to 2.592e6 "
                "seconds"},
        Mistake{"max_epochs: 100", "conventions: {params: chinchilla}",
                "a.yaml:14: params chinchilla is not known: allowed are paper, total, "
                "non-embedding, active"},
        Mistake{"max_epochs: 100", "conventions: {flops: 2nd}",
                "a.yaml:14: flops 2nd is not known: allowed are 6nd, exact"},
        Mistake{"seeds: [1]", "schedule: linear",
                "a.yaml:11: schedule linear is not known: allowed are constant, wsd, cosine"},
        // Sizes and shapes.
        Mistake{"sizes: [5k, 20k, 80k]", "sizes: 5k",
                "a.yaml:6: sizes is a single value: a list such as [5k, 20k, 80k] is expected"},
        Mistake{"sizes: [5k, 20k, 80k]", "sizes: []",
                "a.yaml:6: sizes has 0 items: allowed are 1 to 500"},
        Mistake{"sizes: [5k, 20k, 80k]", "sizes: [5k, 20q]",
                "a.yaml:6: sizes 20q is not a number such as 5k, 1.2M, 3e10 or 1_000"},
        Mistake{"sizes: [5k, 20k, 80k]", "sizes:\n    - 5k\n    - 5000",
                "a.yaml:8: size 5000 is given twice, first as 5k on line 7"},
        Mistake{"sizes: [5k, 20k, 80k]", "shapes: [{layers: 1, heads: 3, width: 32}]",
                "a.yaml:6: width 32 is not a multiple of heads 3"},
        Mistake{"sizes: [5k, 20k, 80k]", "shapes: [{layers: 1, width: 32}]",
                "a.yaml:6: heads is missing under model.shapes: attention heads, a divisor of "
                "width"},
        Mistake{"sizes: [5k, 20k, 80k]",
                "sizes: [5k]\n  shapes: [{layers: 1, heads: 1, width: 32}]",
                "a.yaml:7: sizes and shapes are both given: one of them is allowed"},
        Mistake{"  sizes: [5k, 20k, 80k]\n", "",
                "a.yaml:3: sizes is missing under model: parameter counts, such as [5k, 20k]; or "
                "shapes, presets or table instead"},
        // Tables by size.
        Mistake{"learning_rate: 3e-3", "learning_rate: {5k: 1e-2, 21k: 1e-3}",
                "a.yaml:10: learning_rate has a value for 21k, which is not a size of this sweep: "
                "its sizes are 5k, 20k, 80k"},
        Mistake{"learning_rate: 3e-3", "learning_rate: {5k: 1e-2, 20k: 1e-3}",
                "a.yaml:10: learning_rate has no value for 80k: give one, or one for a smaller and "
                "one for a larger size to interpolate between"},
        Mistake{"learning_rate: 3e-3", "learning_rate: {5k: 1e-2, 80k: fast}",
                "a.yaml:10: learning_rate of 80k fast is not a number such as 5k, 1.2M, 3e10 or "
                "1_000"},
        Mistake{"learning_rate: 3e-3", "learning_rate: {5k: 1e-2, 5000: 2e-2, 80k: 1e-3}",
                "a.yaml:10: learning_rate of 5000 is given twice"},
        Mistake{"learning_rate: 3e-3", "learning_rate: {}",
                "a.yaml:10: learning_rate has 0 entries: allowed are 1 to 500"},
        Mistake{"devices: 1", "devices: {20k: 0}",
                "a.yaml:15: devices of 20k 0 is out of range: allowed is from 1 to 65536"},
        Mistake{"devices: 1", "devices: {20k: 3}",
                "a.yaml:15: size 20k on 3 devices: an update's 128 sequences (batch_tokens 4096 / "
                "context 32) do not divide by 3"},
        // Seeds and budgets.
        Mistake{"seeds: [1]", "seeds: 1",
                "a.yaml:11: seeds is a single value: a list such as [1, 2] is expected"},
        Mistake{"seeds: [1]", "seeds: [1, 1]", "a.yaml:11: seed 1 is given twice"},
        Mistake{"seeds: [1]", "seeds: [1e16]",
                "a.yaml:11: seeds 1e16 is out of range: allowed is from 0 to 9e15"},
        Mistake{"flops: [1e10, 1e11, 1e12]", "flops: [1e10, 1e10]",
                "a.yaml:13: budget 1e10 is given twice"},
        Mistake{"flops: [1e10, 1e11, 1e12]", "flops: [0]",
                "a.yaml:13: flops 0 is out of range: allowed is above 0 to 1e30"},
        Mistake{"flops: [1e10, 1e11, 1e12]", "flops: [1e10]\n  tokens: [1M]",
                "a.yaml:14: tokens beside another kind of budget: one of flops, tokens and "
                "tokens_per_param is allowed"},
        Mistake{"  flops: [1e10, 1e11, 1e12]", "  {}",
                "a.yaml:12: budgets has no flops, tokens or tokens_per_param"}));

TEST(SweepFileTest, TenDifferentMistakesAreTenLinesInTheOrderOfTheFile) {
  EXPECT_THAT(MistakesOf(R"(name: ten mistakes
dataset: words
model:
  context: 64
  sizes: [5k, 20x, 80k]
  layers: 2
training:
  batch_tokens: 500
  warmup_steps: -5
  learning_rate: {5k: 1e-2, 90k: 1e-3}
  seeds: 3
budgets:
  flops: [1e10, 1e10]
  tokens: [5M]
device: gpu
max_epochs: yes
)"),
              ElementsAre(StartsWith("a.yaml:1: name 'ten mistakes' is not a name"),
                          "a.yaml:5: sizes 20x is not a number such as 5k, 1.2M, 3e10 or 1_000",
                          StartsWith("a.yaml:6: unknown key layers: it belongs under model.shapes"),
                          "a.yaml:8: batch_tokens 500 is not a multiple of context 64",
                          StartsWith("a.yaml:9: warmup_steps -5 is out of range"),
                          StartsWith("a.yaml:10: learning_rate has a value for 90k"),
                          StartsWith("a.yaml:11: seeds is a single value"),
                          "a.yaml:13: budget 1e10 is given twice",
                          StartsWith("a.yaml:14: tokens beside another kind of budget"),
                          StartsWith("a.yaml:15: device gpu is not known: allowed are cpu, cuda"),
                          StartsWith("a.yaml:16: max_epochs yes is not a number")));
}

TEST(SweepFileTest, ShapesOfSizesFollowTheRuleThatTheFileStates) {
  const auto shapes = [](absl::string_view rule) {
    const auto file = ParseSweepFile(
        SweepWith("  sizes: [5k, 20k, 80k]", absl::StrCat("  sizes: [20k, 42k, 90k, 400k]", rule)),
        "a.yaml");
    EXPECT_OK(file);
    const auto expansion = Expand(*file, Words());
    EXPECT_OK(expansion);
    std::vector<v1::ModelShape> found;
    for (const v1::Run& run : expansion->runs) found.push_back(run.spec().identity().shape());
    return found;
  };
  for (const v1::ModelShape& shape : shapes("\n  head_dim: 8")) {
    EXPECT_EQ(shape.width(), 8 * shape.heads());
  }
  EXPECT_GT(shapes("\n  aspect: 4").back().layers(), shapes("\n  aspect: 64").back().layers());
  int32_t before = 0;
  for (const v1::ModelShape& shape : shapes("\n  aspect: smooth")) {
    EXPECT_GE(shape.layers(), before);
    before = shape.layers();
  }
  EXPECT_THAT(MistakesOf(SweepWith("family: gpt", "aspect: broad\n  head_dim: 0")),
              ElementsAre(StartsWith("a.yaml:4: aspect is width / layers: a number from 1"),
                          StartsWith("a.yaml:5: ")));
  EXPECT_THAT(MistakesOf(SweepWith("  shapes:", "  aspect: 16\n  shapes:", kOneShape)),
              ElementsAre("a.yaml:5: aspect chooses shapes for model.sizes, and there are "
                          "none"));
}

TEST(SweepFileTest, AnotherNameChangesTheNameAlone) {
  const std::string text =
      "# Größe name: demo\n" + std::string(kSweep) + "# a comment after it, of demo\n";
  ASSERT_OK_AND_ASSIGN(const std::string renamed, Renamed(text, "a.yaml", "second"));
  EXPECT_EQ(renamed, SweepWith("\nname: demo", "\nname: second", text));
  for (const char* written : {"\"demo\"", "'demo'", "   demo   # here"}) {
    ASSERT_OK_AND_ASSIGN(
        const std::string quoted,
        Renamed(SweepWith("name: demo", absl::StrCat("name: ", written)), "a.yaml", "second"));
    ASSERT_OK_AND_ASSIGN(const SweepFile file, ParseSweepFile(quoted, "a.yaml"));
    EXPECT_EQ(file.name, "second");
  }
  EXPECT_THAT(Renamed(kSweep, "a.yaml", "no name"),
              StatusIs(kInvalid, HasSubstr("'no name' is not a name")));
  EXPECT_THAT(Renamed("dataset: x", "a.yaml", "second"), StatusIs(kInvalid));
}

TEST(SweepFileTest, AnUnknownFamilyIsNamedOnce) {
  const auto mistakes = MistakesOf(SweepWith("family: gpt", "family: rnn"));
  ASSERT_EQ(mistakes.size(), 1u);
  EXPECT_THAT(mistakes[0], StartsWith("a.yaml:4: "));
  EXPECT_THAT(mistakes[0], HasSubstr("rnn"));
  EXPECT_THAT(mistakes[0], HasSubstr("gpt"));
}

TEST(SweepFileTest, RatesBetweenTwoGivenSizesAreLogLogInterpolated) {
  ASSERT_OK_AND_ASSIGN(
      const SweepFile file,
      ParseSweepFile(SweepWith("learning_rate: 3e-3", "learning_rate: {5k: 1e-2, 80000: 1e-3}"),
                     "a.yaml"));
  EXPECT_EQ(file.sizes[0].learning_rate, 1e-2);
  // 20k is half-way in log from 5k to 80k: sqrt(1e-2 * 1e-3), to three digits.
  EXPECT_EQ(file.sizes[1].learning_rate, 3.16e-3);
  EXPECT_EQ(file.sizes[2].learning_rate, 1e-3);
}

TEST(SweepFileTest, ALongLabelIsCutBetweenTwoCharacters) {
  std::string label = "a";
  for (int i = 0; i < 40; ++i) label += "\u00f6";  // two bytes each: 64 bytes end within one
  ASSERT_OK_AND_ASSIGN(
      const SweepFile file,
      ParseSweepFile(SweepWith("sizes: [5k, 20k, 80k]",
                               "shapes: [{layers: 2, heads: 1, width: 32, label: " + label + "}]"),
                     "a.yaml"));
  EXPECT_EQ(file.sizes[0].label, label.substr(0, 63));
}

TEST(SweepFileTest, ShapesAreNamedByLayersAndWidthOrTheirLabel) {
  ASSERT_OK_AND_ASSIGN(const SweepFile file,
                       ParseSweepFile(SweepWith("sizes: [5k, 20k, 80k]",
                                                "shapes: [{layers: 2, heads: 1, width: 32}, "
                                                "{layers: 4, heads: 2, width: 64, label: wide}]"),
                                      "a.yaml"));
  ASSERT_EQ(file.sizes.size(), 2u);
  EXPECT_EQ(file.sizes[0].label, "2x32");
  EXPECT_EQ(file.sizes[0].params, 0);
  EXPECT_EQ(file.sizes[1].label, "wide");
  EXPECT_EQ(file.sizes[1].layers, 4);
  EXPECT_EQ(file.sizes[1].heads, 2);
  EXPECT_EQ(file.sizes[1].width, 64);
}

TEST(SweepFileTest, ShapesAreNotInterpolated) {
  EXPECT_THAT(MistakesOf(SweepWith("learning_rate: 3e-3", "learning_rate: {2x32: 1e-2}",
                                   SweepWith("sizes: [5k, 20k, 80k]",
                                             "shapes: [{layers: 2, heads: 1, width: 32}, "
                                             "{layers: 4, heads: 2, width: 64}]"))),
              ElementsAre(HasSubstr("learning_rate has no value for 4x64")));
}

TEST(SweepFileTest, TooManyRunsOrCellsAreRefused) {
  const auto list = [](int count) {
    std::string text = "[";
    for (int i = 1; i <= count; ++i) absl::StrAppend(&text, i > 1 ? ", " : "", i);
    return text + "]";
  };
  const std::string seeds = SweepWith("seeds: [1]", "seeds: " + list(400));
  EXPECT_OK(ParseSweepFile(seeds, "a.yaml"));
  EXPECT_THAT(
      MistakesOf(SweepWith("flops: [1e10, 1e11, 1e12]", "flops: " + list(400), seeds)),
      ElementsAre("a.yaml:1: 3 sizes x 400 seeds x 400 budgets are 1200 runs and 480000 cells: "
                  "allowed are at most 10000 runs and 100000 cells"));
  EXPECT_THAT(MistakesOf(SweepWith("sizes: [5k, 20k, 80k]", "sizes: " + list(26), seeds)),
              ElementsAre("a.yaml:1: 26 sizes x 400 seeds x 3 budgets are 10400 runs and 31200 "
                          "cells: allowed are at most 10000 runs and 100000 cells"));
}

}  // namespace
}  // namespace allometry::sweep
