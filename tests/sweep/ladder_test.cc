// The ladder in the sweep file, and the runs that it becomes.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "coordinator/sweep/difference.h"
#include "coordinator/sweep/ladder_expansion.h"
#include "coordinator/sweep/sweep_reader.h"
#include "run/choices.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// kSweep (5k, 20k, 80k; 1e10, 1e11, 1e12 FLOPs) with a ladder of these keys.
std::string LadderSweep(const std::string& ladder) {
  return SweepWith("learning_rate: 3e-3", "learning_rate: {ladder: {" + ladder + "}}");
}

constexpr char kRates[] = "rates: [1e-3, 2e-3, 4e-3], tune: {tokens: 200k}";

absl::StatusOr<SweepFile> Parse(const std::string& yaml) { return ParseSweepFile(yaml, "a.yaml"); }

const v1::Run& RunOf(const Expansion& expansion, const std::string& size, double rate) {
  const auto run = std::find_if(expansion.runs.begin(), expansion.runs.end(), [&](const auto& one) {
    return one.size() == size && one.spec().identity().learning_rate() == rate;
  });
  EXPECT_NE(run, expansion.runs.end()) << size << " at " << rate;
  return *run;
}

std::vector<v1::Cell> CellsOf(const Expansion& expansion, int64_t run_id) {
  std::vector<v1::Cell> cells;
  std::copy_if(expansion.cells.begin(), expansion.cells.end(), std::back_inserter(cells),
               [&](const v1::Cell& cell) { return cell.run_id() == run_id; });
  return cells;
}

TEST(LadderFileTest, ReadsRatesAndRule) {
  ASSERT_OK_AND_ASSIGN(const SweepFile file,
                       Parse(LadderSweep("rates: [4e-3, 1e-3, 2e-3], ratio: 2, tune: {flops: "
                                         "3e9}, max_widen: 6, half_octave_on_ties: false, "
                                         "tie_tolerance: 0.01, accept_edge: true")));
  ASSERT_TRUE(file.ladder.has_value());
  EXPECT_THAT(file.ladder->rates, ElementsAre(1e-3, 2e-3, 4e-3));
  EXPECT_EQ(file.ladder->tune_kind, BudgetKind::kFlops);
  EXPECT_EQ(file.ladder->tune.value, 3e9);
  EXPECT_EQ(file.ladder->max_widen, 6);
  EXPECT_FALSE(file.ladder->half_octave_on_ties);
  EXPECT_EQ(file.ladder->tie_tolerance, 0.01);
  EXPECT_TRUE(file.ladder->accept_edge);
}

TEST(LadderFileTest, ARowOfRatesIsGeometric) {
  ASSERT_OK_AND_ASSIGN(const SweepFile file,
                       Parse(LadderSweep("start: 3e-3, ratio: 3, count: 3, tune: {steps: 50}")));
  EXPECT_THAT(file.ladder->rates, ElementsAre(3e-3, 9e-3, 0.027));
  EXPECT_EQ(file.ladder->tune_steps, 50);
  ASSERT_OK_AND_ASSIGN(const std::vector<LadderStep> steps, LadderSteps(file, Words()));
  EXPECT_EQ(steps[0].trial.step(), 50);
}

TEST(LadderFileTest, MistakesNameWhatIsAllowed) {
  const std::map<std::string, std::string> cases = {
      {"rates: [1e-3]", "tune is missing under training.learning_rate.ladder"},
      {"tune: {tokens: 1M}", "start is missing"},
      {"rates: [1e-3], count: 3, tune: {tokens: 1M}", "count beside rates"},
      {"rates: [1e-3, 1e-3], tune: {tokens: 1M}", "rate 0.001 is given twice"},
      {"rates: [0], tune: {tokens: 1M}", "out of range"},
      {"rates: [1e-3], tune: {tokens: 1M, flops: 1e9}", "tune has 2 budgets"},
      {"rates: [1e-3], tune: {}", "tune has 0 budgets"},
      {"rates: [1e-3], tune: 1M", "tune is"},
      {"rates: [1e-3], tune: {tokens: 1M}, max_widn: 3", "did you mean max_widen?"},
      {"rates: [1e-3], tune: {tokens: 1M}, ratio: 1", "ratio 1 is out of range"},
      {"rates: [1e-3], tune: {tokens: 1M}, max_widen: 21", "max_widen 21 is out of range"},
  };
  for (const auto& [ladder, mistake] : cases) {
    EXPECT_THAT(Parse(LadderSweep(ladder)), StatusIs(kInvalid, HasSubstr(mistake))) << ladder;
  }
  EXPECT_THAT(Parse(SweepWith("learning_rate: 3e-3", "learning_rate: {ladder: 3}")),
              StatusIs(kInvalid, HasSubstr("a map is expected")));
  EXPECT_THAT(Parse(SweepWith("learning_rate: 3e-3", "learning_rate: {ladder: {}, 5k: 1e-3}")),
              StatusIs(kInvalid, HasSubstr("unknown key 5k")));
}

TEST(LadderExpansionTest, BeginsWithTheSmallestSize) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(LadderSweep(kRates)));
  ASSERT_THAT(expansion.runs, SizeIs(3));
  for (const v1::Run& run : expansion.runs) {
    EXPECT_EQ(run.size(), "5k");
    EXPECT_EQ(run.stage(), run::NameOf(run::Stage::kLadder));
    EXPECT_EQ(run.spec().steps(), 49);  // 200k / 4096
    // Evaluated where the grid's cells end as well: 1e10 FLOPs.
    EXPECT_THAT(run.spec().evaluation_steps(), Contains(49));
  }
  for (const v1::Cell& cell : expansion.cells)
    EXPECT_EQ(cell.stage(), run::NameOf(run::Stage::kLadder));
  EXPECT_EQ(expansion.sweep.runs(), 3);
  EXPECT_EQ(expansion.sweep.cells(), 3);
}

TEST(LadderExpansionTest, TheGridContinuesTheChosenTuningRun) {
  ASSERT_OK_AND_ASSIGN(const SweepFile file, Parse(LadderSweep(kRates)));
  LadderRates rates;
  rates.trials = {{"5k", {1e-3, 2e-3, 4e-3}}, {"20k", {1e-3, 2e-3, 4e-3}}};
  rates.chosen = {{"5k", 2e-3}};
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandLadder(file, Words(), rates));
  EXPECT_THAT(expansion.runs, SizeIs(6));  // the grid's run of 5k is one of its tuning runs
  const v1::Run& grid = RunOf(expansion, "5k", 2e-3);
  EXPECT_EQ(grid.stage(), "");
  const std::vector<v1::Cell> cells = CellsOf(expansion, grid.run_id());
  ASSERT_THAT(cells, SizeIs(4));  // three of the grid, one of the ladder
  EXPECT_EQ(grid.spec().steps(), cells.back().step());
  for (const v1::Cell& cell : cells) {
    EXPECT_THAT(grid.spec().evaluation_steps(), Contains(cell.step()));
  }
  EXPECT_EQ(RunOf(expansion, "5k", 1e-3).stage(), run::NameOf(run::Stage::kLadder));
  EXPECT_THAT(CellsOf(expansion, RunOf(expansion, "20k", 4e-3).run_id()), SizeIs(1));
}

TEST(LadderExpansionTest, ATrunkContinuesTheChosenTuningRun) {
  const std::string yaml = absl::StrReplaceAll(
      LadderSweep(kRates), {{"warmup_steps: 10", "warmup_steps: 10\n  schedule: wsd"}});
  ASSERT_OK_AND_ASSIGN(const SweepFile file, Parse(yaml));
  LadderRates rates;
  rates.trials = {{"5k", {1e-3, 2e-3}}};
  ASSERT_OK_AND_ASSIGN(const Expansion before, ExpandLadder(file, Words(), rates));
  rates.chosen = {{"5k", 2e-3}};
  ASSERT_OK_AND_ASSIGN(const Expansion after, ExpandLadder(file, Words(), rates));
  ASSERT_THAT(after.runs, SizeIs(2 + 3));  // the trunk is a tuning run; three branches
  const v1::Run& trunk = RunOf(after, "5k", 2e-3);
  EXPECT_EQ(trunk.key(), RunOf(before, "5k", 2e-3).key());
  EXPECT_EQ(trunk.spec().identity().schedule(), "constant");
  EXPECT_THAT(trunk.spec().checkpoint_steps(), SizeIs(3));
  for (const int64_t step : trunk.spec().checkpoint_steps()) {
    // What the tuning passes it has a checkpoint of.
    const auto& tuned = RunOf(before, "5k", 2e-3).spec().checkpoint_steps();
    EXPECT_EQ(std::count(tuned.begin(), tuned.end(), step), step <= 49 ? 1 : 0) << step;
  }
  StoredSweep stored{before.sweep, before.runs, before.cells, {}};
  stored.sweep.set_sweep_id(1);
  ASSERT_OK_AND_ASSIGN(const Changes changes, Difference(stored, after));
  EXPECT_THAT(changes.new_runs, SizeIs(3));
  ASSERT_THAT(changes.changed_runs, SizeIs(1));
  EXPECT_TRUE(changes.changed_runs[0].raised);
}

TEST(LadderExpansionTest, TunesWithTheFirstSeedAndTrainsAll) {
  ASSERT_OK_AND_ASSIGN(const SweepFile file,
                       Parse(absl::StrReplaceAll(LadderSweep(kRates), {{"[1]", "[5, 3]"}})));
  LadderRates rates;
  rates.trials = {{"5k", {1e-3, 2e-3}}};
  rates.chosen = {{"5k", 2e-3}};
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandLadder(file, Words(), rates));
  ASSERT_THAT(expansion.runs, SizeIs(3));
  EXPECT_EQ(expansion.runs[0].spec().identity().seed(), 5);
  EXPECT_EQ(expansion.runs[1].spec().identity().seed(), 5);
  EXPECT_EQ(expansion.runs[2].spec().identity().seed(), 3);
  EXPECT_EQ(expansion.runs[2].stage(), "");
}

TEST(LadderExpansionTest, RungsAreBySizeWhateverTheFileOrder) {
  const std::string yaml =
      absl::StrReplaceAll(LadderSweep(kRates), {{"[5k, 20k, 80k]", "[80k, 5k, 20k]"}});
  ASSERT_OK_AND_ASSIGN(const SweepFile file, Parse(yaml));
  ASSERT_OK_AND_ASSIGN(const std::vector<LadderStep> steps, LadderSteps(file, Words()));
  ASSERT_THAT(steps, SizeIs(3));
  EXPECT_EQ(steps[0].label, "5k");
  EXPECT_EQ(steps[1].label, "20k");
  EXPECT_EQ(steps[2].label, "80k");
  EXPECT_EQ(steps[0].trial.step(), 49);
  EXPECT_LT(steps[0].trial.flops(), steps[2].trial.flops());
}

TEST(LadderExpansionTest, ATuningBudgetThatCannotBeIsAMistakeOfItsLine) {
  const std::string within = LadderSweep("rates: [1e-3], tune: {tokens: 20k}");
  EXPECT_THAT(ExpandText(within), StatusIs(kInvalid, HasSubstr("within the warm-up")));
  // 5k has 1e12 / 6 N = 3.4e7 tokens at the most; a size whose tuning alone is too long:
  const std::string beyond = LadderSweep("rates: [1e-3], tune: {tokens_per_param: 60k}");
  EXPECT_THAT(ExpandText(beyond), StatusIs(kInvalid, AllOf(HasSubstr("sweeps/a.yaml:10: tune: "),
                                                           HasSubstr("more than max_epochs"))));
}

// ---- against what is stored ------------------------------------------------------------------

// As the store would have it.
StoredSweep Store(const Expansion& expansion) {
  StoredSweep stored{expansion.sweep, expansion.runs, expansion.cells, {}};
  stored.sweep.set_sweep_id(1);
  return stored;
}

TEST(LadderDifferenceTest, ADecisionRaisesTheChosenRunAndAddsItsCells) {
  ASSERT_OK_AND_ASSIGN(const SweepFile file, Parse(LadderSweep(kRates)));
  LadderRates rates;
  rates.trials = {{"5k", {1e-3, 2e-3, 4e-3}}};
  ASSERT_OK_AND_ASSIGN(const Expansion before, ExpandLadder(file, Words(), rates));
  rates.chosen = {{"5k", 2e-3}};
  ASSERT_OK_AND_ASSIGN(const Expansion after, ExpandLadder(file, Words(), rates));
  ASSERT_OK_AND_ASSIGN(const Changes changes, Difference(Store(before), after));
  EXPECT_THAT(changes.new_runs, IsEmpty());
  ASSERT_THAT(changes.changed_runs, SizeIs(1));
  EXPECT_EQ(changes.changed_runs[0].run_id, RunOf(before, "5k", 2e-3).run_id());
  EXPECT_TRUE(changes.changed_runs[0].raised);
  EXPECT_THAT(changes.new_cells, SizeIs(3));
  for (const NewCell& cell : changes.new_cells) EXPECT_EQ(cell.cell.stage(), "");
  EXPECT_THAT(Difference(Store(after), after)->lines, IsEmpty());
}

TEST(LadderDifferenceTest, AGridCellAtTheTuningStepIsACellOfItsOwn) {
  // 49 steps are the tuning's as well as a budget's.
  const std::string yaml =
      absl::StrReplaceAll(LadderSweep(kRates), {{"flops: [1e10, 1e11, 1e12]", "tokens: [200k]"}});
  ASSERT_OK_AND_ASSIGN(const SweepFile file, Parse(yaml));
  LadderRates rates;
  rates.trials = {{"5k", {2e-3}}};
  ASSERT_OK_AND_ASSIGN(const Expansion before, ExpandLadder(file, Words(), rates));
  rates.chosen = {{"5k", 2e-3}};
  ASSERT_OK_AND_ASSIGN(const Expansion after, ExpandLadder(file, Words(), rates));
  ASSERT_OK_AND_ASSIGN(const Changes changes, Difference(Store(before), after));
  ASSERT_THAT(changes.new_cells, SizeIs(1));
  EXPECT_EQ(changes.new_cells[0].cell.stage(), "");
  EXPECT_EQ(changes.new_cells[0].cell.step(), 49);
}

TEST(LadderDifferenceTest, ASweepOfGivenRatesTakesALadderLater) {
  ASSERT_OK_AND_ASSIGN(const Expansion given, ExpandText(kSweep));
  ASSERT_OK_AND_ASSIGN(const Expansion ladder, ExpandText(LadderSweep(kRates)));
  ASSERT_OK_AND_ASSIGN(const Changes changes, Difference(Store(given), ladder));
  EXPECT_THAT(changes.new_runs, SizeIs(3));
  EXPECT_THAT(changes.new_cells, SizeIs(3));
}

}  // namespace
}  // namespace allometry::sweep
