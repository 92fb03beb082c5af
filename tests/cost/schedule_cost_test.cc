#include "coordinator/cost/schedule_cost.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/cost/throughput.h"
#include "gmock/gmock.h"

namespace allometry::cost {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Runs of 1000 parameters and 1000 tokens an update, so 6e6 FLOPs an update, to `steps`.
v1::Run MakeRun(int64_t id, int64_t steps) {
  v1::Run run;
  run.set_run_id(id);
  run.set_key(absl::StrCat("key-", id));
  run.set_size("1k");
  run.set_flops_per_token_6n(6000);
  run.mutable_spec()->set_steps(steps);
  v1::RunIdentity& identity = *run.mutable_spec()->mutable_identity();
  identity.set_schedule("constant");
  identity.set_batch_tokens(1000);
  identity.set_learning_rate(1e-3);
  identity.set_seed(1);
  return run;
}

v1::Run Falling(int64_t id, const std::string& schedule, int64_t begin, int64_t end) {
  v1::Run run = MakeRun(id, end);
  v1::RunIdentity& identity = *run.mutable_spec()->mutable_identity();
  identity.set_schedule(schedule);
  identity.set_decay_begin(begin);
  identity.set_decay_end(end);
  if (schedule != "wsd") return run;
  v1::RunInput& input = *run.mutable_spec()->add_inputs();
  input.set_kind("trunk");
  input.set_run_key("key-1");
  input.set_step(begin);
  return run;
}

v1::Cell CellOf(const v1::Run& run) {
  v1::Cell cell;
  cell.set_run_id(run.run_id());
  cell.set_size(run.size());
  cell.set_step(run.spec().steps());
  cell.set_flops(6e6 * static_cast<double>(run.spec().steps()));
  return cell;
}

// A trunk to 800 with branches to 250, 500 and 1000 steps, decay over a fifth.
struct Wsd {
  Wsd()
      : runs({MakeRun(1, 800), Falling(2, "wsd", 200, 250), Falling(3, "wsd", 400, 500),
              Falling(4, "wsd", 800, 1000)}) {
    for (const int64_t step : {200, 400, 800}) runs[0].mutable_spec()->add_checkpoint_steps(step);
    for (size_t i = 1; i < runs.size(); ++i) cells.push_back(CellOf(runs[i]));
  }
  std::vector<v1::Run> runs;
  std::vector<v1::Cell> cells;
};

TEST(ScheduleCostTest, WsdIsTheTrunkAndTheDecays) {
  const Wsd wsd;
  const ScheduleCost cost = CostOfSchedule({}, wsd.runs, wsd.cells);
  EXPECT_EQ(cost.schedule, run::Schedule::kWsd);
  EXPECT_EQ(cost.trunks, 1);
  EXPECT_EQ(cost.branches, 3);
  EXPECT_EQ(cost.flops, 6e6 * (800 + 50 + 100 + 200));
  EXPECT_DOUBLE_EQ(cost.flops_wsd, cost.flops);
  EXPECT_EQ(cost.flops_separate, 6e6 * 1750);
  EXPECT_EQ(cost.flops_constant, 6e6 * 1000);
  EXPECT_EQ(cost.early_branches, 0);
  EXPECT_THAT(ScheduleSentences(cost),
              ElementsAre("1 trunk and 3 branches: 6.90e9 FLOPs, where a run for each cell, as "
                          "under cosine, would take 1.05e10 (34 % saved) and a constant rate "
                          "6.00e9"));
}

TEST(ScheduleCostTest, BranchesBehindTheirTrunkCostTheConstantPartToo) {
  Wsd wsd;
  wsd.runs[2].mutable_spec()->mutable_inputs(0)->set_step(200);
  const ScheduleCost cost = CostOfSchedule({}, wsd.runs, wsd.cells);
  EXPECT_EQ(cost.flops, 6e6 * (800 + 50 + 300 + 200));
  EXPECT_EQ(cost.early_branches, 1);
  EXPECT_EQ(cost.flops_early, 6e6 * 200);
  EXPECT_EQ(ScheduleSentences(cost).back(),
            "1 branch starts before its decay, because its trunk is past that step without a "
            "checkpoint there: 1.20e9 FLOPs of the constant part are trained again");
}

TEST(ScheduleCostTest, CosineSaysWhatSharingWouldCost) {
  const std::vector<v1::Run> runs = {Falling(2, "cosine", 10, 250), Falling(3, "cosine", 10, 500),
                                     Falling(4, "cosine", 10, 1000)};
  const std::vector<v1::Cell> cells = {CellOf(runs[0]), CellOf(runs[1]), CellOf(runs[2])};
  const ScheduleCost cost = CostOfSchedule({}, runs, cells);
  EXPECT_EQ(cost.flops, 6e6 * 1750);
  EXPECT_EQ(cost.flops_separate, cost.flops);
  EXPECT_DOUBLE_EQ(cost.flops_wsd, 6e6 * (800 + 0.2 * 1750));
  EXPECT_THAT(ScheduleSentences(cost),
              ElementsAre("cosine runs share nothing: 1.05e10 FLOPs, where wsd would take about "
                          "6.90e9 and a constant rate 6.00e9 (34 % and 43 % less)"));
}

TEST(ScheduleCostTest, NothingToSayOfAConstantSweepOrOfOneBudget) {
  const std::vector<v1::Run> constant = {MakeRun(1, 1000)};
  const std::vector<v1::Cell> cell = {CellOf(constant[0])};
  EXPECT_THAT(ScheduleSentences(CostOfSchedule({}, constant, cell)), IsEmpty());
  const std::vector<v1::Run> cosine = {Falling(2, "cosine", 10, 250)};
  const std::vector<v1::Cell> one = {CellOf(cosine[0])};
  EXPECT_THAT(ScheduleSentences(CostOfSchedule({}, cosine, one)), IsEmpty());
}

TEST(ScheduleCostTest, ABranchThatWaitsHasLeftWhatItsTrunkDoesNotTrain) {
  v1::Run branch = Falling(4, "wsd", 800, 1000);
  branch.set_state(v1::PENDING);
  EXPECT_EQ(RemainingFlops(branch, run::FlopsConvention::k6nd), 6e6 * 200);
  branch.set_step(900);
  EXPECT_EQ(RemainingFlops(branch, run::FlopsConvention::k6nd), 6e6 * 100);
  branch.set_step(0);
  branch.set_state(v1::LEASED);  // it had to begin at step 0
  EXPECT_EQ(RemainingFlops(branch, run::FlopsConvention::k6nd), 6e6 * 1000);
}

}  // namespace
}  // namespace allometry::cost
