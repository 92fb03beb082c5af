// What runs that need others wait for, alone and in the view that decisions read.
#include "coordinator/leases/input_wait.h"

#include <string>
#include <vector>

#include "coordinator/leases/cluster_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::coordinator {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kTrunk = 7, kBranch = 8;

store::RunRow BranchRow() {
  store::RunRow row;
  row.sweep_id = 1;
  row.run.set_run_id(kBranch);
  row.run.set_state(v1::PENDING);
  row.run.set_n_params(1000);
  row.run.set_flops_per_token_6n(6000);
  v1::RunSpec& spec = *row.run.mutable_spec();
  spec.set_steps(500);
  spec.set_ranks(1);
  spec.set_device("cpu");
  spec.mutable_identity()->set_batch_tokens(10);
  v1::RunInput& input = *spec.add_inputs();
  input.set_kind("trunk");
  input.set_step(400);
  store::InputRun& trunk = row.inputs[run::InputKind::kTrunk];
  trunk.run_id = kTrunk;
  trunk.wanted_step = 400;
  trunk.state = v1::LEASED;
  trunk.is_to_come = true;
  return row;
}

InputWait WaitOfBranch(const store::RunRow& row, int64_t step, std::set<std::string> live_roots) {
  return WaitForInputs(row, {std::move(live_roots), [](const std::string&) { return true; },
                             [step](const store::InputRun&) { return step; }});
}

TEST(BranchWaitTest, WaitsForTheCheckpointThatIsToCome) {
  const InputWait wait = WaitOfBranch(BranchRow(), 120, {"root-a"});
  EXPECT_EQ(wait.blocked, "needs run 7's checkpoint at step 400 (now at 120)");
  EXPECT_EQ(wait.root_id, "");
}

TEST(BranchWaitTest, GoesWhereTheCheckpointLiesOnceAWorkerIsThere) {
  store::RunRow branch = BranchRow();
  branch.inputs[run::InputKind::kTrunk].root_ids = {"root-a", "root-b"};
  InputWait wait = WaitOfBranch(branch, 400, {"root-b", "root-c"});
  EXPECT_EQ(wait.blocked, "");
  EXPECT_EQ(wait.root_id, "root-b");
  EXPECT_TRUE(wait.root_is_live);
  // The trunk trains again elsewhere and will leave another.
  wait = WaitOfBranch(branch, 30, {"root-c"});
  EXPECT_EQ(wait.blocked, "needs run 7's checkpoint at step 400 (now at 30)");
}

TEST(BranchWaitTest, DoesNotWaitForWhatWillNotCome) {
  store::RunRow branch = BranchRow();
  branch.inputs[run::InputKind::kTrunk].is_to_come = false;
  branch.inputs[run::InputKind::kTrunk].state = v1::RUN_FAILED;
  EXPECT_EQ(WaitOfBranch(branch, 120, {"root-a"}).blocked, "");
  branch.inputs[run::InputKind::kTrunk].root_ids = {"root-z"};
  EXPECT_EQ(WaitOfBranch(branch, 120, {"root-a"}).blocked, "");
  EXPECT_EQ(WaitOfBranch(branch, 120, {"root-a"}).root_id, "root-z");
  EXPECT_FALSE(WaitOfBranch(branch, 120, {"root-a"}).root_is_live);
}

TEST(BranchWaitTest, DoesNotWaitWithACheckpointOfItsOwnOrWithoutAStart) {
  store::RunRow branch = BranchRow();
  branch.run.mutable_checkpoint()->set_step(450);
  branch.run.mutable_checkpoint()->set_root_id("root-b");
  EXPECT_EQ(WaitOfBranch(branch, 120, {}).blocked, "");
  EXPECT_EQ(WaitOfBranch(branch, 120, {}).root_id, "root-b");
  branch = BranchRow();
  branch.inputs[run::InputKind::kTrunk].wanted_step = 0;
  EXPECT_EQ(WaitOfBranch(branch, 120, {}).blocked, "");
}

// ---- tokenizers --------------------------------------------------------------------------------

store::RunRow ReaderRow() {
  store::RunRow row = BranchRow();
  row.inputs.erase(run::InputKind::kTrunk);
  row.run.mutable_spec()->mutable_inputs(0)->set_kind("tokenizer");
  store::InputRun& tokenizer = row.inputs[run::InputKind::kTokenizer];
  tokenizer.run_id = 3;
  tokenizer.sweep = "words";
  tokenizer.wanted_step = 200;
  tokenizer.state = v1::LEASED;
  tokenizer.is_to_come = true;
  return row;
}

void Succeed(store::RunRow& row, std::vector<std::string> root_ids) {
  row.inputs[run::InputKind::kTokenizer].state = v1::RUN_SUCCEEDED;
  row.inputs[run::InputKind::kTokenizer].is_to_come = false;
  row.inputs[run::InputKind::kTokenizer].root_ids = std::move(root_ids);
}

TEST(TokenizerWaitTest, WaitsUntilTheTokenizerIsTrained) {
  store::RunRow row = ReaderRow();
  EXPECT_EQ(WaitOfBranch(row, 120, {"root-a"}).blocked,
            "needs run 3's tokenizer (now at step 120 of 200)");
  // Its last checkpoint alone is not enough: its run may still be found wanting.
  row.inputs[run::InputKind::kTokenizer].root_ids = {"root-a"};
  EXPECT_NE(WaitOfBranch(row, 200, {"root-a"}).blocked, "");
  Succeed(row, {"root-a"});
  const InputWait wait = WaitOfBranch(row, 200, {"root-a", "root-b"});
  EXPECT_EQ(wait.blocked, "");
  EXPECT_EQ(wait.root_id, "root-a");
  EXPECT_TRUE(wait.root_is_live);
}

TEST(TokenizerWaitTest, CannotDoWithoutAndSaysWhatIsMissing) {
  store::RunRow row = ReaderRow();
  row.inputs[run::InputKind::kTokenizer].state = v1::RUN_FAILED;
  row.inputs[run::InputKind::kTokenizer].is_to_come = false;
  EXPECT_EQ(WaitOfBranch(row, 120, {"root-a"}).blocked,
            "needs run 3's tokenizer, and run 3 failed: 'allo retry words' takes it up again");
  Succeed(row, {"root-a"});
  EXPECT_EQ(WaitOfBranch(row, 120, {"root-b"}).blocked,
            "needs run 3's tokenizer, and no worker of run root root-a, where it lies, is "
            "connected");
  const InputKnowledge too_small = {{"root-a"},
                                    [](const std::string&) { return false; },
                                    [](const store::InputRun&) { return int64_t{0}; }};
  EXPECT_EQ(WaitForInputs(row, too_small).blocked,
            "needs run 3's tokenizer, and no worker of run root root-a, where it lies, has the "
            "slots and the data");
  Succeed(row, {});
  EXPECT_EQ(WaitOfBranch(row, 120, {"root-a"}).blocked,
            "needs run 3's tokenizer, of which no good file is left");
}

TEST(TokenizerWaitTest, ABranchGoesWhereBothAre) {
  store::RunRow row = BranchRow();
  row.inputs.merge(ReaderRow().inputs);
  Succeed(row, {"root-b"});
  row.inputs[run::InputKind::kTrunk].root_ids = {"root-a", "root-b"};
  EXPECT_EQ(WaitOfBranch(row, 400, {"root-a", "root-b"}).root_id, "root-b");
  // The trunk's checkpoint where the tokenizer is not: it is to be trained again.
  row.inputs[run::InputKind::kTrunk].root_ids = {"root-a"};
  row.inputs[run::InputKind::kTrunk].is_to_come = false;
  const InputWait wait = WaitOfBranch(row, 400, {"root-a", "root-b"});
  EXPECT_EQ(wait.blocked, "");
  EXPECT_EQ(wait.root_id, "root-b");
  EXPECT_TRUE(wait.root_is_live);
}

// ---- models of policies -------------------------------------------------------------------------

TEST(ModelWaitTest, APolicyWaitsForTheCheckpointAndGoesWhereItIs) {
  store::RunRow row = ReaderRow();
  row.inputs[run::InputKind::kModel] = row.inputs[run::InputKind::kTokenizer];
  row.inputs.erase(run::InputKind::kTokenizer);
  row.inputs[run::InputKind::kModel].sweep = "worlds";
  EXPECT_EQ(WaitOfBranch(row, 120, {"root-a"}).blocked,
            "needs run 3's model (now at step 120 of 200)");
  // The checkpoint is enough, whatever becomes of its run.
  row.inputs[run::InputKind::kModel].root_ids = {"root-b"};
  row.inputs[run::InputKind::kModel].is_to_come = false;
  row.inputs[run::InputKind::kModel].state = v1::RUN_CANCELLED;
  const InputWait wait = WaitOfBranch(row, 200, {"root-a", "root-b"});
  EXPECT_EQ(wait.blocked, "");
  EXPECT_EQ(wait.root_id, "root-b");
  EXPECT_TRUE(wait.root_is_live);
  row.inputs[run::InputKind::kModel].root_ids.clear();
  EXPECT_EQ(WaitOfBranch(row, 120, {"root-a"}).blocked,
            "needs run 3's model, and run 3 was cancelled: 'allo retry worlds' takes it up again");
}

TEST(ModelWaitTest, APolicyWithATokenizerGoesWhereBothAre) {
  store::RunRow row = ReaderRow();
  row.inputs[run::InputKind::kModel] = row.inputs[run::InputKind::kTokenizer];
  Succeed(row, {"root-a", "root-b"});
  row.inputs[run::InputKind::kModel].root_ids = {"root-b", "root-c"};
  row.inputs[run::InputKind::kModel].is_to_come = false;
  EXPECT_EQ(WaitOfBranch(row, 200, {"root-a", "root-b", "root-c"}).root_id, "root-b");
  row.inputs[run::InputKind::kModel].root_ids = {"root-c"};
  EXPECT_NE(WaitOfBranch(row, 200, {"root-a", "root-b", "root-c"}).blocked, "");
}

class BranchViewTest : public ::testing::Test {
 protected:
  static store::RunRow TrunkRow(v1::RunState state) {
    store::RunRow row = BranchRow();
    row.run.set_run_id(kTrunk);
    row.run.set_state(state);
    row.run.mutable_spec()->clear_inputs();
    row.run.mutable_spec()->set_steps(400);
    row.inputs.erase(run::InputKind::kTrunk);
    if (state != v1::LEASED) return row;
    store::Attempt& attempt = row.attempt.emplace();
    attempt.lease.set_run_id(kTrunk);
    attempt.lease.set_attempt(1);
    attempt.lease.set_token("t");
    attempt.agent_id = "a";
    return row;
  }
  const schedule::RunState& StateOf(int64_t run_id) { return view_.state().runs.at(run_id); }

  void Connect(const std::string& agent, const std::string& root) {
    v1::RegisterRequest request;
    request.set_agent_id(agent);
    request.set_host("host-" + agent);
    request.set_run_root_id(root);
    request.add_slots()->set_device("cpu:0");
    view_.PutAgent(request, 0);
    v1::HeartbeatRequest heartbeat;
    heartbeat.set_agent_id(agent);
    *heartbeat.add_free_slots() = request.slots(0);
    view_.RecordHeartbeat(heartbeat, 0);
  }

  ClusterView view_{1000};
};

TEST_F(BranchViewTest, SaysHowFarTheTrunkIsAsItGoes) {
  view_.Put(TrunkRow(v1::LEASED), 0);
  view_.Put(BranchRow(), 0);
  EXPECT_EQ(view_.WaitingReason(kBranch),
            "waiting: needs run 7's checkpoint at step 400 (now at 0)");
  view_.Progress(TrunkRow(v1::LEASED).attempt->lease, 130, 0);
  EXPECT_EQ(view_.WaitingReason(kBranch),
            "waiting: needs run 7's checkpoint at step 400 (now at 130)");
}

TEST_F(BranchViewTest, IsFreeWhenTheCheckpointIsThereAndPrefersItsRoot) {
  Connect("a", "root-a");
  view_.Put(TrunkRow(v1::LEASED), 0);
  store::RunRow branch = BranchRow();
  view_.Put(branch, 0);
  EXPECT_NE(StateOf(kBranch).blocked, "");
  branch.inputs[run::InputKind::kTrunk].root_ids = {"root-a"};
  branch.inputs[run::InputKind::kTrunk].is_to_come = false;
  view_.Put(branch, 0);
  EXPECT_EQ(StateOf(kBranch).blocked, "");
  EXPECT_EQ(StateOf(kBranch).checkpoint_root_id, "root-a");
  EXPECT_TRUE(StateOf(kBranch).bound_to_root);
}

TEST_F(BranchViewTest, IsNotBoundWhereItsRanksDoNotFit) {
  Connect("a", "root-a");
  store::RunRow branch = BranchRow();
  branch.inputs[run::InputKind::kTrunk].root_ids = {"root-a"};
  branch.run.mutable_spec()->set_ranks(2);
  view_.Put(branch, 0);
  EXPECT_EQ(StateOf(kBranch).blocked, "");
  EXPECT_FALSE(StateOf(kBranch).bound_to_root);
}

TEST_F(BranchViewTest, WaitsAgainWhileTheWorkerWithTheCheckpointIsAway) {
  Connect("a", "root-a");
  store::RunRow branch = BranchRow();
  branch.inputs[run::InputKind::kTrunk].root_ids = {"root-a"};
  view_.Put(branch, 0);
  EXPECT_EQ(StateOf(kBranch).blocked, "");
  view_.RemoveAgent("a");
  EXPECT_NE(StateOf(kBranch).blocked, "");
  Connect("b", "root-b");
  EXPECT_NE(StateOf(kBranch).blocked, "");
  Connect("a", "root-a");
  EXPECT_EQ(StateOf(kBranch).blocked, "");
}

TEST_F(BranchViewTest, AWaitingTrunkIsAsLongAsTheLongestWayThroughItsBranches) {
  view_.Put(TrunkRow(v1::PENDING), 0);
  EXPECT_EQ(StateOf(kTrunk).duration, 400 * 60000.0);
  view_.Put(BranchRow(), 0);
  EXPECT_EQ(StateOf(kBranch).duration, 100 * 60000.0);  // from the trunk's checkpoint on
  EXPECT_EQ(StateOf(kTrunk).duration, 500 * 60000.0);
  view_.Put(TrunkRow(v1::LEASED), 0);
  EXPECT_EQ(StateOf(kTrunk).duration, 400 * 60000.0);  // when its slot comes free
  view_.Put(TrunkRow(v1::PENDING), 0);
  store::RunRow ended = BranchRow();
  ended.run.set_state(v1::RUN_SUCCEEDED);
  view_.Put(ended, 0);
  EXPECT_EQ(StateOf(kTrunk).duration, 400 * 60000.0);
}

TEST_F(BranchViewTest, AReaderIsBoundToTheRootOfItsTokenizerAndFollowsItsWorkers) {
  Connect("b", "root-b");
  store::RunRow row = ReaderRow();
  view_.Put(row, 0);
  EXPECT_EQ(view_.WaitingReason(kBranch),
            "waiting: needs run 3's tokenizer (now at step 0 of 200)");
  Succeed(row, {"root-a"});
  view_.Put(row, 0);
  EXPECT_NE(StateOf(kBranch).blocked, "");
  Connect("a", "root-a");
  EXPECT_EQ(StateOf(kBranch).blocked, "");
  EXPECT_TRUE(StateOf(kBranch).bound_to_root);
  EXPECT_EQ(StateOf(kBranch).checkpoint_root_id, "root-a");
  view_.RemoveAgent("a");
  EXPECT_NE(StateOf(kBranch).blocked, "");
}

}  // namespace
}  // namespace allometry::coordinator
