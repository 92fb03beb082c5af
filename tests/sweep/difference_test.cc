#include "coordinator/sweep/difference.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/sweep/stored_sweep.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr auto kConflict = absl::StatusCode::kFailedPrecondition;

std::vector<int64_t> Evaluations(const v1::RunSpec& spec) {
  return {spec.evaluation_steps().begin(), spec.evaluation_steps().end()};
}

TEST(DifferenceTest, ANewSweepIsAllNew) {
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit({}, kSweep));
  EXPECT_EQ(changes.new_runs.size(), 3u);
  EXPECT_EQ(changes.new_cells.size(), 8u);
  EXPECT_THAT(changes.changed_runs, IsEmpty());
  EXPECT_TRUE(changes.sweep_changed);
  EXPECT_EQ(changes.sweep.sweep_id(), 0);
  EXPECT_EQ(changes.sweep.name(), "demo");
  EXPECT_EQ(changes.sweep.runs(), 3);
  EXPECT_EQ(changes.sweep.cells(), 8);
  EXPECT_THAT(
      changes.lines,
      ElementsAre("adds size 5k: 1 run, 3 cells", "adds size 20k: 1 run, 3 cells",
                  "adds size 80k: 1 run, 2 cells", StartsWith("left out: 80k at 1e10 FLOPs: ")));
}

TEST(DifferenceTest, TheSameFileAgainChangesNothing) {
  const StoredSweep stored = Stored(kSweep);
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, kSweep));
  EXPECT_TRUE(changes.empty());
  EXPECT_THAT(changes.lines, IsEmpty());
  EXPECT_EQ(changes.sweep.sweep_id(), 7);
  EXPECT_EQ(changes.sweep.runs(), 3);
  EXPECT_EQ(changes.sweep.cells(), 8);
}

TEST(DifferenceTest, AnotherSpellingOfTheSameSweepChangesNothing) {
  const StoredSweep stored = Stored(kSweep);
  ASSERT_OK_AND_ASSIGN(const Changes changes,
                       Submit(stored, SweepWith("[5k, 20k, 80k]", "[5_000, 2e4, 80k]",
                                                SweepWith("1e12]", "1000G]"))));
  EXPECT_TRUE(changes.new_runs.empty());
  EXPECT_TRUE(changes.new_cells.empty());
  EXPECT_TRUE(changes.changed_runs.empty());
}

TEST(DifferenceTest, OneMoreSizeAddsItsRunAndCells) {
  const StoredSweep stored = Stored(kSweep);
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, SweepWith("80k]", "80k, 10k]")));
  ASSERT_EQ(changes.new_runs.size(), 1u);
  EXPECT_EQ(changes.new_runs[0].size(), "10k");
  ASSERT_EQ(changes.new_cells.size(), 3u);
  for (const NewCell& added : changes.new_cells) {
    EXPECT_EQ(added.run_key, changes.new_runs[0].key());
    EXPECT_EQ(added.cell.run_id(), 0);
  }
  EXPECT_THAT(changes.changed_runs, IsEmpty());
  EXPECT_THAT(changes.lines, ElementsAre("adds size 10k: 1 run, 3 cells"));
  EXPECT_EQ(changes.sweep.runs(), 4);
  EXPECT_EQ(changes.sweep.cells(), 11);
}

TEST(DifferenceTest, ALargerBudgetContinuesTheRun) {
  const StoredSweep stored = Stored(kOneShape);
  const v1::RunSpec& before = stored.runs[0].spec();
  ASSERT_OK_AND_ASSIGN(const Changes changes,
                       Submit(stored, SweepWith("1M]", "1M, 2M, 4M]", kOneShape)));
  EXPECT_THAT(changes.new_runs, IsEmpty());
  ASSERT_EQ(changes.new_cells.size(), 2u);
  EXPECT_EQ(changes.new_cells[0].cell.step(), 488);
  EXPECT_EQ(changes.new_cells[1].cell.step(), 977);
  EXPECT_EQ(changes.new_cells[0].cell.run_id(), stored.runs[0].run_id());
  ASSERT_EQ(changes.changed_runs.size(), 1u);
  const ChangedRun& raised = changes.changed_runs[0];
  EXPECT_EQ(raised.run_id, stored.runs[0].run_id());
  EXPECT_TRUE(raised.raised);
  EXPECT_EQ(raised.spec.steps(), 977);
  EXPECT_EQ(raised.spec.identity().SerializeAsString(), before.identity().SerializeAsString());
  const std::vector<int64_t> old = Evaluations(before);
  const std::vector<int64_t> all = Evaluations(raised.spec);
  ASSERT_GT(all.size(), old.size());
  EXPECT_TRUE(std::equal(old.begin(), old.end(), all.begin()));
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_EQ(all.back(), 977);
  EXPECT_THAT(
      changes.lines,
      ElementsAre("raises run 2x32 to 4e6 tokens: from step 244 to step 977, 2 cells more"));
}

TEST(DifferenceTest, GrowthInStepsIsTheSweepAtOnceBeyondTheOldBudget) {
  StoredSweep stored = Stored(kOneShape);
  const std::string larger = SweepWith("1M]", "1M, 4M]", kOneShape);
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, larger));
  Apply(changes, stored);
  const StoredSweep at_once = Stored(larger);
  EXPECT_EQ(stored.runs[0].spec().steps(), at_once.runs[0].spec().steps());
  EXPECT_EQ(Evaluations(stored.runs[0].spec()), Evaluations(at_once.runs[0].spec()));
  EXPECT_EQ(stored.cells.size(), at_once.cells.size());
  ASSERT_OK_AND_ASSIGN(const Changes again, Submit(stored, larger));
  EXPECT_TRUE(again.empty());
}

TEST(DifferenceTest, ABudgetBetweenTakesTheNearestEvaluationOfTheRun) {
  StoredSweep stored = Stored(kOneShape);
  const std::string between = SweepWith("1M]", "500_000, 1M]", kOneShape);
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, between));
  // 500,000 tokens are 122.07 steps; the run is evaluated at 112 and 126.
  ASSERT_EQ(changes.new_cells.size(), 1u);
  const v1::Cell& cell = changes.new_cells[0].cell;
  EXPECT_EQ(cell.step(), 126);
  EXPECT_EQ(cell.tokens(), 126 * 4096);
  EXPECT_EQ(cell.asked_tokens(), 500'000);
  EXPECT_DOUBLE_EQ(cell.flops(), 126.0 * 4096 * stored.runs[0].flops_per_token_6n());
  EXPECT_DOUBLE_EQ(cell.epochs(), 126.0 * 4096 / (1'124'999 * 32));
  EXPECT_THAT(changes.changed_runs, IsEmpty());
  EXPECT_THAT(changes.lines, ElementsAre("adds a cell to run 2x32: 500000 tokens at step 126, the "
                                         "evaluation nearest to step 122"));
  Apply(changes, stored);
  ASSERT_OK_AND_ASSIGN(const Changes again, Submit(stored, between));
  EXPECT_TRUE(again.empty());
}

TEST(DifferenceTest, ABudgetBetweenDoesNotDependOnHowFarTheRunIs) {
  StoredSweep fresh = Stored(kOneShape);
  StoredSweep finished = fresh;
  finished.runs[0].set_state(v1::RUN_SUCCEEDED);
  finished.runs[0].set_step(244);
  const std::string between = SweepWith("1M]", "500_000, 1M]", kOneShape);
  ASSERT_OK_AND_ASSIGN(const Changes early, Submit(fresh, between));
  ASSERT_OK_AND_ASSIGN(const Changes late, Submit(finished, between));
  ASSERT_EQ(early.new_cells.size(), 1u);
  ASSERT_EQ(late.new_cells.size(), 1u);
  EXPECT_EQ(early.new_cells[0].cell.step(), late.new_cells[0].cell.step());
}

TEST(DifferenceTest, ABudgetBetweenOnTheStepOfAnotherCellIsLeftOut) {
  StoredSweep stored = Stored(kOneShape);
  // 99,000 tokens ask for step 24 again; 103,000 for step 25, an evaluation that no cell has.
  ASSERT_OK_AND_ASSIGN(const Changes same,
                       Submit(stored, SweepWith("[100_000", "[99_000", kOneShape)));
  EXPECT_TRUE(same.empty());
  ASSERT_OK_AND_ASSIGN(const Changes next,
                       Submit(stored, SweepWith("1M]", "103_000, 108_000, 1M]", kOneShape)));
  ASSERT_EQ(next.new_cells.size(), 1u);  // 108,000 asks for 26, whose nearest is 25 too
  EXPECT_EQ(next.new_cells[0].cell.step(), 25);
  EXPECT_THAT(next.lines, ElementsAre("adds a cell to run 2x32: 103000 tokens at step 25",
                                      "left out: 2x32 at 108000 tokens: step 25, as of another "
                                      "cell"));
}

TEST(DifferenceTest, ABudgetBetweenFarFromEveryEvaluationIsAConflict) {
  const std::string sparse = absl::StrCat(kOneShape, "evaluation: {per_decade: 1}\n");
  const StoredSweep stored = Stored(sparse);
  EXPECT_THAT(Submit(stored, SweepWith("1M]", "500_000, 1M]", sparse)),
              StatusIs(kConflict, AllOf(StartsWith("500000 tokens of run 2x32 end at step 122"),
                                        HasSubstr("nearest evaluation among them is at step 100"),
                                        HasSubstr("another name for the sweep"))));
}

TEST(DifferenceTest, NothingIsRemoved) {
  const StoredSweep stored = Stored(kSweep);
  ASSERT_OK_AND_ASSIGN(const Changes size, Submit(stored, SweepWith("[5k, ", "[")));
  EXPECT_THAT(size.new_runs, IsEmpty());
  EXPECT_THAT(size.changed_runs, IsEmpty());
  EXPECT_THAT(size.lines, ElementsAre("removes nothing: size 5k is not in the file and stays"));
  EXPECT_EQ(size.sweep.runs(), 3);

  ASSERT_OK_AND_ASSIGN(const Changes budget, Submit(stored, SweepWith(", 1e12]", "]")));
  EXPECT_THAT(budget.changed_runs, IsEmpty());
  EXPECT_THAT(budget.lines, ElementsAre("removes nothing: 3 cells not in the file stay"));
  EXPECT_EQ(budget.sweep.cells(), 8);
}

TEST(DifferenceTest, AnotherSeedOrRateIsARunBesideTheOthers) {
  const StoredSweep stored = Stored(kOneShape);
  ASSERT_OK_AND_ASSIGN(const Changes seed,
                       Submit(stored, SweepWith("3e-3", "3e-3\n  seeds: [1, 2]", kOneShape)));
  ASSERT_EQ(seed.new_runs.size(), 1u);
  EXPECT_THAT(seed.lines,
              ElementsAre("adds 2x32 seed 2 beside the others of its size: 1 run, 2 cells"));
  ASSERT_OK_AND_ASSIGN(const Changes rate, Submit(stored, SweepWith("3e-3", "2e-3", kOneShape)));
  ASSERT_EQ(rate.new_runs.size(), 1u);
  EXPECT_THAT(
      rate.lines,
      ElementsAre("adds 2x32 learning rate 0.002 beside the others of its size: 1 run, 2 cells",
                  "removes nothing: run 2x32 learning rate 0.003 is not in the file and "
                  "stays"));
}

TEST(DifferenceTest, SettingsOfExecutionHoldFromTheNextAttemptOn) {
  StoredSweep stored = Stored(kOneShape);
  const std::string faster = absl::StrCat(kOneShape, "devices: 2\nlog_every: 50\n");
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, faster));
  ASSERT_EQ(changes.changed_runs.size(), 1u);
  EXPECT_FALSE(changes.changed_runs[0].raised);
  EXPECT_EQ(changes.changed_runs[0].spec.ranks(), 2);
  EXPECT_EQ(changes.changed_runs[0].spec.steps(), 244);
  EXPECT_THAT(changes.lines, ElementsAre("changes run 2x32 from its next attempt on: devices 1 to "
                                         "2, log_every 10 to 50"));
  stored.runs[0].set_state(v1::RUN_SUCCEEDED);
  ASSERT_OK_AND_ASSIGN(const Changes done, Submit(stored, faster));
  EXPECT_TRUE(done.empty());
}

TEST(DifferenceTest, AMicroBatchThatOutOfMemoryHalvedStays) {
  StoredSweep stored = Stored(kOneShape);
  const std::string faster = absl::StrCat(kOneShape, "log_every: 50\n");
  const auto micro_batch = [&](int before) {
    stored.runs[0].mutable_spec()->set_micro_batch(before);
    const auto changes = Submit(stored, faster);
    EXPECT_OK(changes);
    return changes->changed_runs.at(0).spec.micro_batch();
  };
  const int arithmetic = micro_batch(0);
  EXPECT_EQ(micro_batch(1), 1);
  EXPECT_EQ(micro_batch(1 << 20), arithmetic == 0 ? 1 << 20 : arithmetic);
}

TEST(DifferenceTest, AnAttemptsStartDoesNotCount) {
  StoredSweep stored = Stored(kOneShape);
  stored.runs[0].mutable_spec()->mutable_start()->set_step(100);
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, kOneShape));
  EXPECT_TRUE(changes.empty());
}

TEST(DifferenceTest, PriorityAndEpochsOfTheSweepMayChange) {
  const StoredSweep stored = Stored(kSweep);
  ASSERT_OK_AND_ASSIGN(const Changes changes,
                       Submit(stored, SweepWith("max_epochs: 100", "max_epochs: 50\npriority: 3")));
  EXPECT_TRUE(changes.sweep_changed);
  EXPECT_FALSE(changes.empty());
  EXPECT_EQ(changes.sweep.priority(), 3);
  EXPECT_EQ(changes.sweep.max_epochs(), 50);
  EXPECT_EQ(changes.sweep.sweep_id(), 7);
  EXPECT_THAT(changes.lines,
              ElementsAre("changes priority 0 to 3", "changes max_epochs 100 to 50"));
}

TEST(DifferenceTest, LimitsOfTheSweepMayChange) {
  StoredSweep stored = Stored(kSweep);
  stored.sweep.set_max_run_hours(2);
  ASSERT_OK_AND_ASSIGN(const Changes changes,
                       Submit(stored, absl::StrCat(kSweep, "limits: {max_device_hours: 0.5}\n")));
  EXPECT_TRUE(changes.sweep_changed);
  EXPECT_EQ(changes.sweep.max_device_hours(), 0.5);
  EXPECT_EQ(changes.sweep.max_run_hours(), 0);
  EXPECT_THAT(changes.lines, ElementsAre("changes limits.max_device_hours none to 0.5",
                                         "changes limits.max_run_hours 2 to none"));
}

struct Contradiction {
  const char* from;
  const char* to;
  const char* message;
};

class ConflictTest : public ::testing::TestWithParam<Contradiction> {};

TEST_P(ConflictTest, SaysWhatTheSweepHasAndToChooseAnotherName) {
  const Contradiction& change = GetParam();
  const StoredSweep stored = Stored(kOneShape);
  EXPECT_THAT(Submit(stored, SweepWith(change.from, change.to, kOneShape)),
              StatusIs(kConflict, absl::StrCat(change.message,
                                               ": choose another name for the "
                                               "changed sweep, or change it "
                                               "back")));
}

INSTANTIATE_TEST_SUITE_P(
    All, ConflictTest,
    ::testing::Values(
        Contradiction{"context: 32", "context: 16", "sweep demo has context 32, the file 16"},
        Contradiction{"batch_tokens: 4096", "batch_tokens: 2048",
                      "sweep demo has batch_tokens 4096, the file 2048"},
        Contradiction{"warmup_steps: 10", "warmup_steps: 11",
                      "sweep demo has warmup_steps 10, the file 11"},
        Contradiction{"3e-3", "3e-3\n  optimizer: {beta2: 0.950001}",
                      "sweep demo has beta2 0.95, the file 0.950001"},
        Contradiction{"dataset: words", "dataset: words\nconventions: {params: total}",
                      "sweep demo has conventions params paper, the file total"},
        Contradiction{"dataset: words", "dataset: words\nconventions: {flops: exact}",
                      "sweep demo has conventions flops 6nd, the file exact"},
        Contradiction{"dataset: words", "dataset: words\nevaluation: {windows: 7}",
                      "sweep demo has evaluation windows 256, the file 7"},
        Contradiction{"layers: 2, heads: 1, width: 32",
                      "layers: 1, heads: 1, width: 32, label: 2x32",
                      "size 2x32 of sweep demo has 2 layers, 1 heads, width 32, the file gives it "
                      "1 layers, 1 heads, width 32"}));

TEST(DifferenceTest, OtherDataUnderTheSameNameIsAConflict) {
  const StoredSweep stored = Stored(kOneShape);
  data::Manifest manifest = Words();
  manifest.hash = "00000000000000de";
  manifest.tokenizer_hash = "00000000000000ab";
  EXPECT_THAT(Submit(stored, kOneShape, manifest),
              StatusIs(kConflict,
                       "sweep demo has dataset hash 00000000000000dd, the file 00000000000000de: "
                       "choose another name for the changed sweep, or change it back\n"
                       "sweep demo has tokenizer hash 00000000000000aa, the file "
                       "00000000000000ab: choose another name for the changed sweep, or change it "
                       "back"));
}

}  // namespace
}  // namespace allometry::sweep
