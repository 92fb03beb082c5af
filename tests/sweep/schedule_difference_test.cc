// Submitting again where the rate falls: branches, and trunks that grow.
#include <string>
#include <vector>

#include "coordinator/sweep/schedule.h"
#include "coordinator/sweep/trunk_growth.h"
#include "proto/run_choices.h"
#include "tests/sweep/stored_sweep.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kConflict = absl::StatusCode::kFailedPrecondition;

// kOneShape under wsd: cells at steps 24 and 244, falling from 19 and 195.
std::string Wsd(absl::string_view tokens = "100_000, 1M") {
  return SweepWith(
      "100_000, 1M", tokens,
      SweepWith("  warmup_steps: 10\n", "  warmup_steps: 10\n  schedule: wsd\n", kOneShape));
}

v1::Run& TrunkOf(StoredSweep& stored) { return stored.runs.at(0); }

// The trunk as trained to `step`, with these checkpoints.
StoredSweep Trained(v1::RunState state, int64_t step, std::vector<int64_t> checkpoints) {
  StoredSweep stored = Stored(Wsd());
  TrunkOf(stored).set_state(state);
  TrunkOf(stored).set_step(step);
  TrunkOf(stored).set_attempt(1);
  stored.checkpoints[TrunkOf(stored).run_id()] = std::move(checkpoints);
  return stored;
}

TEST(ScheduleDifferenceTest, ANewWsdSweepSaysItsTrunksAndBranches) {
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit({}, Wsd()));
  EXPECT_THAT(changes.lines, ElementsAre("adds size 2x32: 3 runs (1 trunk, 2 branches), 2 cells"));
  EXPECT_EQ(changes.new_runs.size(), 3u);
}

TEST(ScheduleDifferenceTest, TheSameFileAgainChangesNothingHoweverFarTheTrunkIs) {
  for (const int64_t step : {0, 100, 195}) {
    const StoredSweep stored = Trained(v1::PENDING, step, {});
    ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, Wsd()));
    EXPECT_TRUE(changes.empty());
    EXPECT_THAT(changes.lines, IsEmpty());
  }
}

TEST(ScheduleDifferenceTest, ALargerBudgetRaisesTheTrunkAndAddsABranchFromItsNewEnd) {
  const StoredSweep stored = Trained(v1::RUN_SUCCEEDED, 195, {195});
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, Wsd("100_000, 1M, 4M")));
  ASSERT_EQ(changes.changed_runs.size(), 1u);
  const v1::RunSpec& trunk = changes.changed_runs[0].spec;
  EXPECT_EQ(changes.changed_runs[0].run_id, stored.runs[0].run_id());
  EXPECT_TRUE(changes.changed_runs[0].raised);
  EXPECT_EQ(trunk.steps(), 782);  // 977 - round(195.4)
  EXPECT_THAT(trunk.checkpoint_steps(), ElementsAre(19, 195, 782));
  ASSERT_EQ(changes.new_runs.size(), 1u);
  EXPECT_EQ(allometry::TrunkOf(changes.new_runs[0].spec())->step(), 782);
  EXPECT_THAT(changes.lines,
              ElementsAre("adds a branch to 2x32: 4e6 tokens, falling from step 782 to step 977",
                          "raises trunk 2x32: from step 195 to step 782, 1 more checkpoint to "
                          "branch from"));
}

TEST(ScheduleDifferenceTest, ABranchBehindTheTrunkStartsFromTheCheckpointBeforeIt) {
  // 500k tokens are 122 steps, falling from 98 on.
  const auto start = [](const StoredSweep& stored) {
    const auto changes = Submit(stored, Wsd("100_000, 500_000, 1M"));
    EXPECT_OK(changes);
    EXPECT_EQ(changes->new_runs.size(), 1u);
    EXPECT_EQ(changes->new_runs[0].spec().identity().decay_begin(), 98);
    EXPECT_THAT(changes->changed_runs, IsEmpty());  // the trunk does not go back
    EXPECT_THAT(changes->lines.at(0),
                HasSubstr("500000 tokens, falling from step 98 to step 122; its trunk is past step "
                          "98 without a checkpoint there, so it trains from step "));
    return allometry::TrunkOf(changes->new_runs[0].spec())->step();
  };
  EXPECT_EQ(start(Trained(v1::RUN_SUCCEEDED, 195, {19, 195})), 19);
  EXPECT_EQ(start(Trained(v1::RUN_SUCCEEDED, 195, {19, 60, 195})), 60);
  EXPECT_EQ(start(Trained(v1::RUN_SUCCEEDED, 195, {195})), 0);
  EXPECT_EQ(start(Trained(v1::PENDING, 150, {19, 150})), 19);
  // Held by a worker that was told where to leave checkpoints, however far it is.
  EXPECT_EQ(start(Trained(v1::LEASED, 10, {})), 19);
}

TEST(ScheduleDifferenceTest, ABranchAheadOfAWaitingTrunkIsOneMoreCheckpointOnItsWay) {
  for (const int64_t step : {0, 50}) {
    const StoredSweep stored = Trained(v1::PENDING, step, {});
    ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, Wsd("100_000, 500_000, 1M")));
    ASSERT_EQ(changes.changed_runs.size(), 1u);
    EXPECT_FALSE(changes.changed_runs[0].raised);
    EXPECT_THAT(changes.changed_runs[0].spec.checkpoint_steps(), ElementsAre(19, 98, 195));
    EXPECT_EQ(allometry::TrunkOf(changes.new_runs[0].spec())->step(), 98);
  }
}

TEST(ScheduleDifferenceTest, ChangedSettingsKeepWhereABranchStartsAndWhereATrunkIsLeft) {
  StoredSweep stored = Trained(v1::PENDING, 100, {});
  stored.runs.at(2).mutable_spec()->mutable_inputs(0)->set_step(60);
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, Wsd() + "log_every: 5\n"));
  ASSERT_EQ(changes.changed_runs.size(), 3u);
  EXPECT_THAT(changes.changed_runs[0].spec.checkpoint_steps(), ElementsAre(19, 195));
  EXPECT_EQ(allometry::TrunkOf(changes.changed_runs[2].spec)->step(), 60);
  EXPECT_EQ(changes.changed_runs[2].spec.log_every(), 5);
  EXPECT_THAT(changes.lines,
              ElementsAre("changes run trunk 2x32 from its next attempt on: log_every 10 to 5",
                          "changes run 2x32 to step 24 from its next attempt on: log_every 10 to 5",
                          "changes run 2x32 to step 244 from its next attempt on: log_every 10 "
                          "to 5"));
}

TEST(ScheduleDifferenceTest, BudgetsNoLongerInTheFileStay) {
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(Stored(Wsd()), Wsd("1M")));
  EXPECT_TRUE(changes.empty());
  EXPECT_THAT(changes.lines, ElementsAre("removes nothing: a cell not in the file stays"));
}

TEST(ScheduleDifferenceTest, AnotherSeedIsATrunkWithBranches) {
  ASSERT_OK_AND_ASSIGN(
      const Changes changes,
      Submit(Stored(Wsd()), SweepWith("schedule: wsd", "schedule: wsd\n  seeds: [1, 2]", Wsd())));
  EXPECT_THAT(changes.lines,
              ElementsAre("adds 2x32 seed 2 beside the others of its size: 3 runs (1 trunk, 2 "
                          "branches), 2 cells"));
}

TEST(ScheduleDifferenceTest, AnotherScheduleOrDecayIsAnotherSweep) {
  const auto conflict = [](absl::string_view keys, absl::string_view message) {
    EXPECT_THAT(Submit(Stored(Wsd()), SweepWith("schedule: wsd", keys, Wsd())),
                StatusIs(kConflict, HasSubstr(std::string(message))));
  };
  conflict("schedule: constant", "sweep demo has schedule wsd, the file constant: choose another");
  conflict("schedule: cosine", "sweep demo has schedule wsd, the file cosine: choose another");
  conflict("schedule: wsd\n  final_rate_fraction: 0.1",
           "sweep demo has final_rate_fraction 0, the file 0.1");
  conflict("schedule: wsd\n  decay_fraction: 0.3",
           "sweep demo has a branch of 2x32 that falls over 5 of its 24 steps, which is not the "
           "file's decay_fraction 0.3: choose another name");
  EXPECT_THAT(Submit(Stored(kOneShape), Wsd()),
              StatusIs(kConflict, HasSubstr("sweep demo has schedule constant, the file wsd")));
}

}  // namespace
}  // namespace allometry::sweep
