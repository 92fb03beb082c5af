#include "coordinator/cost/plan.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "coordinator/cost/memory.h"
#include "coordinator/cost/quantity.h"
#include "gmock/gmock.h"
#include "models/micro_batch.h"
#include "models/presets.h"

namespace allometry::cost {
namespace {

constexpr auto kCpu = run::DeviceKind::kCpu;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

v1::Run MakeRun(int64_t id, const std::string& size, int64_t params, int64_t steps, int ranks = 1) {
  v1::Run run;
  run.set_run_id(id);
  run.set_key("key-" + size);
  run.set_size(size);
  run.set_n_params(params);
  run.set_flops_per_token_6n(6.0 * params);
  run.set_flops_per_token_exact(7.0 * params);
  run.mutable_params()->set_blocks(params);
  v1::RunSpec& spec = *run.mutable_spec();
  spec.set_steps(steps);
  spec.set_ranks(ranks);
  v1::RunIdentity& identity = *spec.mutable_identity();
  identity.set_batch_tokens(1000);
  identity.set_learning_rate(3e-3);
  identity.set_seed(1);
  identity.mutable_shape()->set_layers(2);
  identity.mutable_shape()->set_heads(1);
  identity.mutable_shape()->set_width(32);
  return run;
}

v1::Cell MakeCell(const v1::Run& run, int64_t step) {
  v1::Cell cell;
  cell.set_run_id(run.run_id());
  cell.set_size(run.size());
  cell.set_params(run.n_params());
  cell.set_step(step);
  cell.set_tokens(step * 1000);
  cell.set_asked_tokens(step * 1000.0);
  cell.set_flops(step * 1000.0 * run.flops_per_token_6n());
  cell.set_epochs(step / 1000.0);
  return cell;
}

v1::Sweep MakeSweep() {
  v1::Sweep sweep;
  sweep.set_name("demo");
  sweep.set_dataset("words");
  sweep.set_params_policy("paper");
  sweep.set_flops_convention("6nd");
  sweep.add_left_out("5k at 3e12 FLOPs: 7.4 epochs of words, more than max_epochs 4");
  return sweep;
}

TEST(PlanTest, CountsWhatSharingARunSaves) {
  const std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100), MakeRun(2, "20k", 20000, 50)};
  const std::vector<v1::Cell> cells = {MakeCell(runs[0], 10), MakeCell(runs[0], 40),
                                       MakeCell(runs[0], 100), MakeCell(runs[1], 50)};
  const SweepPlan plan = Plan(MakeSweep(), runs, cells);
  ASSERT_EQ(plan.runs.size(), 2u);
  EXPECT_EQ(plan.runs[0].cells, 3);
  EXPECT_EQ(plan.runs[0].tokens, 100'000);
  EXPECT_EQ(plan.runs[0].flops, 100'000 * 30'000.0);
  EXPECT_EQ(plan.runs[0].epochs, 0.1);
  EXPECT_EQ(plan.flops, 100'000 * 30'000.0 + 50'000 * 120'000.0);
  EXPECT_EQ(plan.flops_saved, 50'000 * 30'000.0);
  EXPECT_FALSE(plan.device_seconds.has_value());
  EXPECT_FALSE(plan.makespan_seconds.has_value());
}

TEST(PlanTest, UsesTheSweepsFlopConvention) {
  v1::Sweep sweep = MakeSweep();
  sweep.set_flops_convention("exact");
  const std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100)};
  EXPECT_EQ(Plan(sweep, runs, {}).flops, 100'000 * 35'000.0);
}

TEST(PlanTest, TimesFollowTheThroughputAndTheSlots) {
  const std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100), MakeRun(2, "20k", 20000, 50, 2)};
  PlanOptions options;
  options.throughput = Throughput({{5000, 1e9}, {20000, 2e9}});
  options.workers = {{"host-a", kCpu, 2, 0}};
  const SweepPlan plan = Plan(MakeSweep(), runs, {}, options);
  // A checkpoint at the end is known to be written, and not what it takes.
  EXPECT_DOUBLE_EQ(*plan.runs[0].seconds, 3.0 + kHandOverS);  // 3e9 FLOPs
  EXPECT_DOUBLE_EQ(*plan.runs[1].seconds, 1.5 + kHandOverS);  // 6e9 FLOPs on 2 x 2e9
  EXPECT_DOUBLE_EQ(*plan.device_seconds, 6.0 + 3 * kHandOverS);
  EXPECT_DOUBLE_EQ(*plan.makespan_seconds, 4.5 + 2 * kHandOverS);  // the second needs both slots
}

TEST(PlanTest, ARunThatNeedsMoreDevicesThanThereAreCanNeverStart) {
  const std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100), MakeRun(2, "20k", 20000, 50, 2)};
  PlanOptions options;
  options.throughput = Throughput({{5000, 1e9}});
  EXPECT_THAT(Plan(MakeSweep(), runs, {}, options).impossible, IsEmpty());
  options.workers = {{"host-a", kCpu, 1, 0}, {"host-b", kCpu, 1, 0}};
  const SweepPlan plan = Plan(MakeSweep(), runs, {}, options);
  EXPECT_FALSE(plan.makespan_seconds.has_value());
  EXPECT_THAT(plan.impossible,
              ElementsAre("20k seed 1 needs 2 devices at once, and no worker has more than 1"));
  EXPECT_THAT(PlanText(plan), HasSubstr("can never start:\n  20k seed 1 needs 2 devices"));
}

TEST(PlanTest, RunBeyondEveryDevicesMemoryCanNeverStart) {
  const std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100)};
  PlanOptions options;
  options.costs["key-5k"] = {.memory_bytes = 3.0 * (1 << 30), .source = "measured"};
  options.workers = {{"host-a", kCpu, 2, 2.0 * (1 << 30)}};
  EXPECT_THAT(Plan(MakeSweep(), runs, {}, options).impossible,
              ElementsAre("5k seed 1 needs 3 GiB a rank, and no device that it could have has more "
                          "than 2 GiB"));
  options.workers[0].memory_bytes = 0;  // not known
  EXPECT_THAT(Plan(MakeSweep(), runs, {}, options).impossible, IsEmpty());
}

TEST(PlanTest, RunForAKindOfDeviceThatNoWorkerHasCanNeverStart) {
  std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100)};
  runs[0].mutable_spec()->set_device("cuda");
  PlanOptions options;
  options.workers = {{"host-a", kCpu, 2, 0}};
  EXPECT_THAT(Plan(MakeSweep(), runs, {}, options).impossible,
              ElementsAre("5k seed 1 needs a device of kind cuda, and no worker has one"));
}

TEST(PlanTest, MeasuredCostsGoBeforeThePace) {
  std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100)};
  PlanOptions options;
  options.throughput = Throughput({{5000, 1e9}});
  options.costs["key-5k"] = {.start_s = 1, .update_s = 0.5, .checkpoint_s = 2, .source = "cached"};
  const SweepPlan plan = Plan(MakeSweep(), runs, {}, options);
  EXPECT_DOUBLE_EQ(*plan.runs[0].seconds, kHandOverS + 1 + 50 + 2);
  EXPECT_EQ(plan.runs[0].time_source, "cached");
  EXPECT_THAT(PlanText(plan), HasSubstr("times of the runs: 1 cached\n"));
}

TEST(PlanTest, OfAGrownSweepOnlyWhatIsNewIsPaidFor) {
  std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100), MakeRun(2, "20k", 20000, 50),
                               MakeRun(-1, "80k", 80000, 20)};
  runs[0].set_state(v1::RUN_SUCCEEDED);
  runs[0].set_step(40);  // raised from 40 to 100
  runs[1].set_state(v1::RUN_SUCCEEDED);
  runs[1].set_step(50);
  const SweepPlan plan = Plan(MakeSweep(), runs, {});
  EXPECT_EQ(plan.done_runs, 1);
  EXPECT_EQ(plan.tokens, 60'000 + 20'000);
  EXPECT_EQ(plan.flops, 60'000 * 30'000.0 + 20'000 * 480'000.0);
  EXPECT_EQ(plan.runs[0].from, 40);
  EXPECT_FALSE(plan.runs[1].new_work);
  EXPECT_THAT(PlanText(plan), HasSubstr("1 run of 3 trains nothing"));
  EXPECT_EQ(plan.flops_whole, 100'000 * 30'000.0 + 50'000 * 120'000.0 + 20'000 * 480'000.0);
  EXPECT_THAT(PlanText(plan), HasSubstr("3 runs, 0 cells, 1.14e10 of 1.86e10 FLOPs still to be"));
}

TEST(PlanTest, LimitsSayWhetherTheyWillSuffice) {
  v1::Sweep sweep = MakeSweep();
  sweep.set_max_device_hours(2);
  sweep.set_device_seconds(3600);
  sweep.set_max_run_hours(1);
  const std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100), MakeRun(2, "20k", 20000, 50)};
  PlanOptions options;
  options.costs["key-5k"] = {.update_s = 10, .source = "measured"};
  options.costs["key-20k"] = {.update_s = 90, .source = "measured"};
  const PlanSection limits = LimitsSection(sweep, Plan(sweep, runs, {}, options), runs);
  ASSERT_EQ(limits.sentences.size(), 3u);
  EXPECT_THAT(limits.sentences[0],
              HasSubstr("1 used, 1.53 needed by this plan: NOT ENOUGH by 0.528"));
  EXPECT_THAT(limits.sentences[1], HasSubstr("NOT ENOUGH for 20k seed 1"));
  EXPECT_THAT(limits.sentences[2], HasSubstr("enough for 1 runs"));
}

TEST(PlanTest, MemoryGrowsWithTheMicroBatchAndShrinksWithRanks) {
  v1::Run run = MakeRun(1, "5k", 5000, 100);
  run.mutable_spec()->mutable_identity()->mutable_shape()->set_context(10);
  run.mutable_spec()->mutable_identity()->mutable_shape()->set_vocabulary(99);
  // 1000 tokens x (2 layers x 20 x 32 + 3 x 99) x 4 bytes + 16 x 5000.
  EXPECT_EQ(RankMemoryBytes(run), 1000.0 * (2 * 20 * 32 + 297) * 4 + 80'000);
  run.mutable_spec()->set_ranks(2);
  EXPECT_EQ(RankMemoryBytes(run), 500.0 * (2 * 20 * 32 + 297) * 4 + 80'000);
  run.mutable_spec()->set_micro_batch(5);
  EXPECT_EQ(RankMemoryBytes(run), 50.0 * (2 * 20 * 32 + 297) * 4 + 80'000);
}

// 20 bytes a parameter, and activations of 2 bytes but for the loss's fp32.
TEST(PlanTest, MemoryAndWordsKnowThePrecision) {
  v1::Run run = MakeRun(1, "5k", 5000, 100);
  run.mutable_spec()->mutable_identity()->mutable_shape()->set_context(10);
  run.mutable_spec()->mutable_identity()->mutable_shape()->set_vocabulary(99);
  const double fp32 = RankMemoryBytes(run);
  EXPECT_TRUE(NumericsSentences({run}).empty());
  auto& settings = *run.mutable_spec()->mutable_identity()->mutable_settings();
  settings["precision"] = "tf32";
  EXPECT_EQ(RankMemoryBytes(run), fp32);
  settings["precision"] = "bf16";
  EXPECT_EQ(RankMemoryBytes(run), 1000.0 * (2 * (2 * 20 * 32) + 16 * 99) + 100'000);
  const std::vector<std::string> said = NumericsSentences({run, run});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0], HasSubstr("2 runs train in bf16"));
}

// The micro-batch is chosen so that a rank's activations fit into a number of bytes: what the plan
// says must agree, for long contexts, image encoders and tokenizers too.
TEST(PlanTest, MemoryIsThatOfTheFormulaThatChoseTheMicroBatch) {
  constexpr double kBytes = 2e9;
  for (const models::Preset& preset : models::Presets()) {
    v1::Run run = MakeRun(1, "x", 0, 100);
    v1::ModelShape& shape = *run.mutable_spec()->mutable_identity()->mutable_shape();
    shape.set_family(preset.shape.family);
    shape.set_layers(preset.shape.layers);
    shape.set_heads(preset.shape.heads);
    shape.set_width(preset.shape.width);
    shape.set_context(preset.shape.context);
    shape.set_vocabulary(preset.shape.vocabulary);
    shape.set_image_height(preset.shape.image_height);
    shape.set_image_width(preset.shape.image_width);
    shape.set_image_channels(preset.shape.image_channels);
    run.mutable_spec()->mutable_identity()->set_batch_tokens(int64_t{256} * preset.shape.context);
    const int micro_batch = models::MicroBatchFor(preset.shape, 256, kBytes);
    run.mutable_spec()->set_micro_batch(micro_batch);
    const double sequences = micro_batch == 0 ? 256 : micro_batch;
    const double bytes = RankMemoryBytes(run);
    EXPECT_DOUBLE_EQ(bytes, sequences * models::SequenceActivationBytes(preset.shape))
        << preset.name;
    if (sequences > 1) {
      EXPECT_LE(bytes, kBytes) << preset.name;
    }
  }
}

TEST(PlanTest, TextShowsRunsCellsTotalsAndWhatIsLeftOut) {
  const std::vector<v1::Run> runs = {MakeRun(1, "5k", 5128, 100)};
  const std::vector<v1::Cell> cells = {MakeCell(runs[0], 10), MakeCell(runs[0], 100)};
  const std::string text = PlanText(Plan(MakeSweep(), runs, cells));
  EXPECT_THAT(text, HasSubstr("sweep demo on words: 1 run, 2 cells, 3.08e9 FLOPs (cells that share "
                              "a run save 3.08e8, 9 %)\n"));
  EXPECT_THAT(text, HasSubstr("N counts parameters by policy paper, FLOPs by convention 6nd\n"));
  EXPECT_THAT(text, HasSubstr("5128"));
  EXPECT_THAT(text, HasSubstr("0.003"));
  EXPECT_THAT(text, HasSubstr("left out:\n  5k at 3e12 FLOPs: 7.4 epochs of words, more than "
                              "max_epochs 4\n"));
  EXPECT_THAT(text, Not(HasSubstr("time")));
}

TEST(PlanTest, SeedsShareTheRowsOfModelsAndCells) {
  std::vector<v1::Run> runs = {MakeRun(1, "5k", 5128, 100), MakeRun(2, "5k", 5128, 100)};
  runs[1].mutable_spec()->mutable_identity()->set_seed(2);
  const std::vector<v1::Cell> cells = {MakeCell(runs[0], 77), MakeCell(runs[1], 77)};
  const std::string text = PlanText(Plan(MakeSweep(), runs, cells));
  const std::vector<std::string> rows = absl::StrSplit(text, '\n');
  const auto rows_with = [&](const std::string& word) {
    return std::count_if(rows.begin(), rows.end(),
                         [&](const std::string& row) { return row.find(word) != row.npos; });
  };
  EXPECT_EQ(rows_with("0.003"), 1);
  EXPECT_EQ(rows_with("77k"), 1);
  EXPECT_EQ(rows_with("100k"), 2);
}

TEST(PlanTest, TextFitsAHundredColumnsWhateverTheNumbers) {
  v1::Sweep sweep = MakeSweep();
  sweep.set_name(std::string(64, 'n'));
  sweep.set_dataset(std::string(64, 'd'));
  std::string sentence = "a size";
  for (int i = 0; i < 60; ++i) sentence += " with many words";
  sweep.add_left_out(sentence);
  v1::Run run = MakeRun(1, std::string(64, 's'), 9'876'543'210'987, 987'654'321'012, 65536);
  v1::RunIdentity& identity = *run.mutable_spec()->mutable_identity();
  identity.set_seed(9'007'199'254'740'991);
  identity.set_learning_rate(1.2345e-300);
  identity.set_batch_tokens(1'000'000);
  identity.mutable_shape()->set_layers(1'000'000);
  identity.mutable_shape()->set_heads(1'000'000);
  identity.mutable_shape()->set_width(1'000'000);
  v1::Cell cell = MakeCell(run, 987'654'321'012);
  cell.set_asked_tokens(1.23456789e15);
  PlanOptions options;
  options.throughput = Throughput({{1e13, 1e20}});  // 999 days and less
  options.workers = {{"host-a", kCpu, 65536, 0}};
  const std::string text =
      PlanText(Plan(sweep, std::vector<v1::Run>{run}, std::vector<v1::Cell>{cell}, options));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    EXPECT_LE(line.size(), 100u) << line;
  }
}

TEST(QuantityTest, IsShortAndRoundsToTheNextUnit) {
  EXPECT_EQ(CountText(5136), "5136");
  EXPECT_EQ(CountText(41'216), "41.22k");
  EXPECT_EQ(CountText(894'310'400), "894.3M");
  EXPECT_EQ(CountText(3.6e12), "3.6T");
  EXPECT_EQ(CountText(999'999), "1M");
  EXPECT_EQ(FlopsText(3e10), "3.00e10");
  EXPECT_EQ(FlopsText(1.234e12), "1.23e12");
  EXPECT_EQ(FlopsText(0), "0.00e0");
  EXPECT_EQ(DurationText(0.44), "0.4s");
  EXPECT_EQ(DurationText(12.3), "12s");
  EXPECT_EQ(DurationText(59.7), "1m 00s");
  EXPECT_EQ(DurationText(250), "4m 10s");
  EXPECT_EQ(DurationText(3599.6), "1h 00m");
  EXPECT_EQ(DurationText(12'000), "3h 20m");
  EXPECT_EQ(DurationText(190'800), "2d 05h");
  EXPECT_EQ(DurationText(2.3e8), "7.3y");
  EXPECT_EQ(DurationText(-1), "?");
  EXPECT_EQ(BytesText(512), "512 B");
  EXPECT_EQ(BytesText(3.2 * 1024 * 1024), "3.2 MiB");
  EXPECT_EQ(BytesText(1.5e12), "1.36 TiB");
}

v1::Run OfLayers(int64_t id, const std::string& size, int64_t params, int layers) {
  v1::Run run = MakeRun(id, size, params, 100);
  run.mutable_spec()->mutable_identity()->mutable_shape()->set_layers(layers);
  return run;
}

TEST(PlanTest, ShapesOfNeighboursThatAreUnlikeEachOtherAreWarnedAbout) {
  const auto sentences = [](const std::vector<v1::Run>& runs) {
    const SweepPlan plan = Plan(MakeSweep(), runs, {});
    return plan.sections.empty() ? std::vector<std::string>() : plan.sections[0].sentences;
  };
  EXPECT_THAT(
      sentences({OfLayers(1, "34k", 34000, 1), OfLayers(2, "42k", 42000, 9),
                 OfLayers(3, "50k", 50000, 1)}),
      ElementsAre(HasSubstr("42k has 9 layers, but its neighbours 34k and 50k have 1 and 1")));
  EXPECT_THAT(sentences({OfLayers(1, "34k", 34000, 1), OfLayers(2, "42k", 42000, 9)}),
              ElementsAre(HasSubstr("the neighbours 34k and 42k have 1 and 9 layers")));
  EXPECT_THAT(sentences({OfLayers(1, "5k", 5000, 1), OfLayers(2, "20k", 20000, 3),
                         OfLayers(3, "80k", 80000, 4), OfLayers(4, "320k", 320000, 6)}),
              IsEmpty());
  // Shapes that the author gave are the author's.
  EXPECT_THAT(sentences({OfLayers(1, "1x64", 34000, 1), OfLayers(2, "9x16", 42000, 9)}), IsEmpty());
}

// 2 N a token against 6 N of training, at a third of its rate: as many seconds a generated token.
TEST(PlanTest, AnEvaluationIsTimedByTheRunThatItEvaluates) {
  std::vector<v1::Run> runs = {MakeRun(1, "5k", 5000, 100), MakeRun(2, "5k", 5000, 100)};
  runs[1].set_key("key-evaluation");
  runs[1].set_stage("evaluate");
  v1::RunSpec& spec = *runs[1].mutable_spec();
  spec.set_kind("evaluate");
  v1::RunInput& input = *spec.add_inputs();
  input.set_kind("checkpoint");
  input.set_run_key(runs[0].key());
  for (const int64_t step : {10, 100}) spec.add_evaluation_steps(step);
  spec.mutable_identity()->mutable_shape()->set_context(50);
  (*spec.mutable_identity()->mutable_settings())["evaluation.videos"] = "100";
  PlanOptions options;
  options.costs["key-5k"] = {.start_s = 1, .update_s = 0.5, .source = "measured"};
  const SweepPlan plan = Plan(MakeSweep(), runs, {}, options);
  // 100 videos of 50 tokens twice: 10 updates of 1000 tokens.
  ASSERT_TRUE(plan.runs[1].seconds.has_value());
  EXPECT_NEAR(*plan.runs[1].seconds, kHandOverS + 1 + 10 * 0.5, 1e-9);
  EXPECT_NEAR(plan.runs[1].flops, 2.0 * 5000 * 100 * 50 * 2, 1);
  EXPECT_EQ(plan.runs[1].time_source, "measured");
}

}  // namespace
}  // namespace allometry::cost
