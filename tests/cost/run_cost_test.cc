#include "coordinator/cost/run_cost.h"

#include "coordinator/cost/design.h"
#include "coordinator/cost/throughput.h"
#include "gmock/gmock.h"

namespace allometry::cost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Run RunOf(int64_t steps, std::vector<int64_t> evaluations) {
  v1::Run run;
  run.set_n_params(1000);
  run.set_flops_per_token_6n(6000);
  run.mutable_spec()->set_steps(steps);
  for (const int64_t step : evaluations) run.mutable_spec()->add_evaluation_steps(step);
  run.mutable_spec()->mutable_identity()->set_batch_tokens(100);
  run.mutable_spec()->mutable_identity()->set_warmup_steps(5);
  return run;
}

TEST(RunCostTest, FreshRunPaysForEverything) {
  const PlannedWork work = WorkOf(RunOf(1000, {10, 100, 1000}));
  EXPECT_EQ(work.updates, 1000);
  EXPECT_EQ(work.evaluations, 3);
  EXPECT_EQ(work.kept_checkpoints, 1);
  // 1000 x 0.01 + 3 x 0.5 = 11.5 s of training: two timed checkpoints of 0.25 and the last.
  RunCost cost{.start_s = 2, .update_s = 0.01, .evaluation_s = 0.5, .checkpoint_s = 0.25};
  EXPECT_DOUBLE_EQ(SecondsOf(cost, work, 5), kHandOverS + 2 + 11.5 + 3 * 0.25);
  EXPECT_DOUBLE_EQ(SecondsOf(cost, {}, 5), 0);
}

TEST(RunCostTest, RaisedRunPaysForWhatIsNew) {
  v1::Run run = RunOf(1000, {10, 100, 200, 500, 1000});
  run.set_state(v1::RUN_SUCCEEDED);
  run.set_step(200);
  EXPECT_EQ(NextStep(run), 200);
  EXPECT_EQ(WorkOf(run).updates, 800);
  EXPECT_EQ(WorkOf(run).evaluations, 2);
}

TEST(RunCostTest, WaitingRunGoesOnFromItsCheckpointNotFromItsNewestStep) {
  v1::Run run = RunOf(1000, {1000});
  run.set_state(v1::PENDING);
  run.set_step(430);
  run.mutable_checkpoint()->set_step(400);
  EXPECT_EQ(NextStep(run), 400);
}

TEST(RunCostTest, EndedRunsTrainNothing) {
  v1::Run run = RunOf(1000, {1000});
  run.set_step(1000);
  for (const v1::RunState state : {v1::RUN_SUCCEEDED, v1::RUN_FAILED, v1::RUN_CANCELLED}) {
    run.set_state(state);
    EXPECT_EQ(WorkOf(run).updates, 0);
  }
}

TEST(RunCostTest, BranchStartsAtItsTrunksStep) {
  v1::Run run = RunOf(1000, {700, 1000});
  v1::RunInput& input = *run.mutable_spec()->add_inputs();
  input.set_kind("trunk");
  input.set_step(800);
  EXPECT_EQ(NextStep(run), 800);
  EXPECT_EQ(WorkOf(run).updates, 200);
  EXPECT_EQ(WorkOf(run).evaluations, 1);
  EXPECT_EQ(RemainingFlops(run, run::FlopsConvention::k6nd), 200 * 100 * 6000.0);
}

TEST(RunCostTest, CheckpointsThatOthersStartFromAreCountedOnce) {
  v1::Run run = RunOf(1000, {});
  for (const int64_t step : {200, 600, 1000}) run.mutable_spec()->add_checkpoint_steps(step);
  EXPECT_EQ(WorkOf(run).kept_checkpoints, 3);
  run.set_state(v1::RUN_SUCCEEDED);
  run.set_step(600);
  EXPECT_EQ(WorkOf(run).kept_checkpoints, 1);
}

std::vector<double> TokensOf(const std::vector<fitting::Observation>& design) {
  std::vector<double> tokens;
  for (const fitting::Observation& point : design) tokens.push_back(point.tokens);
  return tokens;
}

TEST(DesignTest, ConstantRunIsReadAfterItsWarmUpAndWithinMaxEpochs) {
  v1::Sweep sweep;
  sweep.set_max_epochs(4);
  v1::Cell cell;
  cell.set_tokens(1000);
  cell.set_epochs(0.1);  // 40,000 tokens are four epochs
  const std::vector<v1::Run> runs = {RunOf(1000, {1, 5, 6, 100, 400, 401, 1000})};
  EXPECT_THAT(TokensOf(DesignOf(sweep, runs, std::vector<v1::Cell>{cell})),
              ElementsAre(600, 10'000, 40'000));
}

TEST(DesignTest, DecayingRunIsReadAtItsEndAlone) {
  v1::Run run = RunOf(1000, {100, 1000});
  run.mutable_spec()->mutable_identity()->set_schedule("cosine");
  EXPECT_THAT(TokensOf(DesignOf({}, std::vector<v1::Run>{run}, {})), ElementsAre(100'000));
}

TEST(DesignTest, TrunkIsNotReadItsBranchIsAtItsEnd) {
  std::vector<v1::Run> runs = {RunOf(1000, {100, 1000}), RunOf(500, {400, 500})};
  runs[0].set_key("trunk");
  v1::RunInput& input = *runs[1].mutable_spec()->add_inputs();
  input.set_kind("trunk");
  input.set_run_key("trunk");
  runs[1].mutable_spec()->mutable_identity()->set_schedule("wsd");
  EXPECT_THAT(TokensOf(DesignOf({}, runs, {})), ElementsAre(50'000));
}

TEST(DesignTest, FailedRunsAndStagesAreNotRead) {
  std::vector<v1::Run> runs = {RunOf(100, {100}), RunOf(100, {100})};
  runs[0].set_state(v1::RUN_FAILED);
  runs[1].set_stage("ladder");
  EXPECT_THAT(DesignOf({}, runs, {}), IsEmpty());
}

TEST(BuySectionTest, SaysWhatIsAssumedAndWhyThereIsNoInterval) {
  const std::vector<v1::Run> runs = {RunOf(1000, {10, 20, 50, 100, 200, 500, 800, 1000})};
  const PlanSection section =
      PrecisionSection(ExpectPrecision({}, runs, {}, fitting::DefaultPilot(), 1e12));
  ASSERT_EQ(section.sentences.size(), 3u);
  EXPECT_THAT(section.sentences[0], HasSubstr("a stated default"));
  EXPECT_THAT(section.sentences[2], HasSubstr("1 sizes: an interval needs at least 5"));
}

}  // namespace
}  // namespace allometry::cost
