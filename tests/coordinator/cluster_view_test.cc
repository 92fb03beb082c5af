#include "coordinator/leases/cluster_view.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kLeaseNs = 1000;

v1::Slot SlotAt(const std::string& device) {
  v1::Slot slot;
  slot.set_host("host-a");
  slot.set_device(device);
  return slot;
}

store::RunRow Row(int64_t run_id, v1::RunState state) {
  store::RunRow row;
  row.sweep_id = 1;
  row.run.set_run_id(run_id);
  row.run.set_state(state);
  row.run.set_n_params(1000);
  row.run.set_flops_per_token_6n(6000);
  row.run.mutable_spec()->set_steps(100);
  row.run.mutable_spec()->set_ranks(1);
  row.run.mutable_spec()->set_device("cpu");
  row.run.mutable_spec()->mutable_identity()->set_batch_tokens(10);
  return row;
}

store::RunRow LeasedRow(int64_t run_id, const std::string& token, const std::string& device) {
  store::RunRow row = Row(run_id, v1::LEASED);
  store::Attempt attempt;
  attempt.lease.set_run_id(run_id);
  attempt.lease.set_attempt(1);
  attempt.lease.set_token(token);
  attempt.agent_id = "a";
  attempt.slots = {SlotAt(device)};
  row.attempt = attempt;
  return row;
}

v1::Lease LeaseOf(const store::RunRow& row) { return row.attempt->lease; }

v1::RegisterRequest Registration() {
  v1::RegisterRequest request;
  request.set_agent_id("a");
  request.set_host("host-a");
  request.set_run_root_id("root");
  *request.add_slots() = SlotAt("cpu:0");
  *request.add_slots() = SlotAt("cpu:1");
  return request;
}

v1::HeartbeatRequest HeartbeatWithFree(const std::vector<std::string>& devices) {
  v1::HeartbeatRequest request;
  request.set_agent_id("a");
  for (const std::string& device : devices) *request.add_free_slots() = SlotAt(device);
  return request;
}

std::vector<std::string> UsableDevices(const ClusterView& view) {
  std::vector<std::string> devices;
  for (const v1::Slot& slot : view.state().agents.at("a").slots) devices.push_back(slot.device());
  return devices;
}

TEST(ClusterViewTest, LeaseEndsALeaseAfterItsLastRenewal) {
  ClusterView view(kLeaseNs);
  const store::RunRow row = LeasedRow(1, "t", "cpu:0");
  view.Put(row, 100);
  EXPECT_EQ(view.RemainingNs(LeaseOf(row), 100), kLeaseNs);
  view.Renew(LeaseOf(row), 500);
  EXPECT_THAT(view.Expired(1499), IsEmpty());
  EXPECT_EQ(view.Expired(1500).size(), 1u);
}

TEST(ClusterViewTest, PuttingTheSameAttemptAgainDoesNotRenewItsLease) {
  ClusterView view(kLeaseNs);
  const store::RunRow row = LeasedRow(1, "t", "cpu:0");
  view.Put(row, 100);
  view.Put(row, 900);
  EXPECT_EQ(view.RemainingNs(LeaseOf(row), 900), 200);
}

TEST(ClusterViewTest, LateRenewalNeverShortensALease) {
  ClusterView view(kLeaseNs);
  const store::RunRow row = LeasedRow(1, "t", "cpu:0");
  view.Put(row, 100);
  view.Renew(LeaseOf(row), 50);
  EXPECT_EQ(view.RemainingNs(LeaseOf(row), 100), kLeaseNs);
}

TEST(ClusterViewTest, LeaseOfANewerAttemptIsNotTheOldOnes) {
  ClusterView view(kLeaseNs);
  const store::RunRow first = LeasedRow(1, "t1", "cpu:0");
  view.Put(first, 0);
  view.Put(LeasedRow(1, "t2", "cpu:1"), 10);
  EXPECT_EQ(view.LeaseStatusOf(LeaseOf(first), "a"), LeaseStatus::kGone);
  EXPECT_EQ(view.RemainingNs(LeaseOf(first), 10), 0);
}

TEST(ClusterViewTest, StandingFollowsTheAttemptsState) {
  ClusterView view(kLeaseNs);
  store::RunRow row = LeasedRow(1, "t", "cpu:0");
  view.Put(row, 0);
  EXPECT_EQ(view.LeaseStatusOf(LeaseOf(row), "a"), LeaseStatus::kLeased);
  EXPECT_EQ(view.LeaseStatusOf(LeaseOf(row), "b"), LeaseStatus::kGone) << "another agent's";
  row.run.set_state(v1::PENDING);
  row.attempt->state = store::AttemptState::kExpired;
  view.Put(row, 0);
  EXPECT_EQ(view.LeaseStatusOf(LeaseOf(row), "a"), LeaseStatus::kMayReturn);
  row.attempt->state = store::AttemptState::kGivenBack;
  view.Put(row, 0);
  EXPECT_EQ(view.LeaseStatusOf(LeaseOf(row), "a"), LeaseStatus::kDelivers);
  row.run.set_state(v1::RUN_SUCCEEDED);
  view.Put(row, 0);
  EXPECT_EQ(view.LeaseStatusOf(LeaseOf(row), "a"), LeaseStatus::kGone);
  EXPECT_EQ(view.Find(1), nullptr);
}

TEST(ClusterViewTest, SlotIsUsableOnlyWhenReportedFreeOrHeldByALeasedRun) {
  ClusterView view(kLeaseNs);
  view.PutAgent(Registration(), 0);
  EXPECT_THAT(UsableDevices(view), IsEmpty()) << "no heartbeat yet";
  view.RecordHeartbeat(HeartbeatWithFree({"cpu:0", "cpu:1"}), 0);
  EXPECT_THAT(UsableDevices(view), ElementsAre("cpu:0", "cpu:1"));
  view.Put(LeasedRow(1, "t", "cpu:0"), 0);
  view.RecordHeartbeat(HeartbeatWithFree({"cpu:1"}), 0);
  EXPECT_THAT(UsableDevices(view), ElementsAre("cpu:0", "cpu:1"));
  // Ended for the rows; its trainer may still be there until the agent says otherwise.
  store::RunRow ended = LeasedRow(1, "t", "cpu:0");
  ended.run.set_state(v1::RUN_SUCCEEDED);
  view.Put(ended, 0);
  EXPECT_THAT(UsableDevices(view), ElementsAre("cpu:1"));
  view.RecordHeartbeat(HeartbeatWithFree({"cpu:0", "cpu:1"}), 0);
  EXPECT_THAT(UsableDevices(view), ElementsAre("cpu:0", "cpu:1"));
}

// It was called free by an agent that did not know of the attempt, whose trainer may be ending.
TEST(ClusterViewTest, SlotOfAnAttemptThatEndedUnlistedIsFreeWhenItsAgentSaysSoAgain) {
  ClusterView view(kLeaseNs);
  view.PutAgent(Registration(), 0);
  view.RecordHeartbeat(HeartbeatWithFree({"cpu:0", "cpu:1"}), 1);
  const store::RunRow row = LeasedRow(1, "t", "cpu:0");
  view.Put(row, 2);
  EXPECT_THAT(UsableDevices(view), ElementsAre("cpu:0", "cpu:1"));
  view.Put(Row(1, v1::PENDING), 3);
  EXPECT_THAT(UsableDevices(view), ElementsAre("cpu:1"));
  view.RecordHeartbeat(HeartbeatWithFree({"cpu:0", "cpu:1"}), 4);
  EXPECT_THAT(UsableDevices(view), ElementsAre("cpu:0", "cpu:1"));
}

// Between the end of an attempt and the heartbeat that calls its slot free, the slot is nobody's.
TEST(ClusterViewTest, NobodyElseIsAskedForRoomWhileRoomIsOnItsWay) {
  ClusterView view(kLeaseNs);
  view.PutAgent(Registration(), 0);
  store::RunRow asked = LeasedRow(1, "t1", "cpu:0");
  store::RunRow other = LeasedRow(2, "t2", "cpu:1");
  asked.attempt->durable_sequence = other.attempt->durable_sequence = 1;
  asked.attempt->stop = store::StopAsked::kPreempt;
  view.Put(asked, 0);
  view.Put(other, 0);
  v1::HeartbeatRequest both = HeartbeatWithFree({});
  *both.add_held()->mutable_lease() = LeaseOf(asked);
  *both.add_held()->mutable_lease() = LeaseOf(other);
  view.RecordHeartbeat(both, 0);
  store::RunRow urgent = Row(3, v1::PENDING);
  urgent.priority = 5;
  view.Put(urgent, 0);
  asked.run.set_state(v1::PENDING);
  asked.attempt->state = store::AttemptState::kEnded;
  view.Put(asked, 0);
  const schedule::Options at_once{.min_run_ns = 0};
  EXPECT_THAT(view.Decide(10, at_once).preemptions, IsEmpty());

  // Where the agent forgets the attempt and calls nothing free, another makes room.
  v1::HeartbeatRequest one = HeartbeatWithFree({});
  *one.add_held()->mutable_lease() = LeaseOf(other);
  view.TakeDirty();
  view.RecordHeartbeat(one, 10);
  EXPECT_TRUE(view.TakeDirty());
  const std::vector<schedule::Preemption> asks = view.Decide(10, at_once).preemptions;
  ASSERT_EQ(asks.size(), 1u);
  EXPECT_EQ(asks[0].run_id, 2);

  *one.add_free_slots() = SlotAt("cpu:0");
  view.RecordHeartbeat(one, 10);
  const schedule::Decision decision = view.Decide(10, at_once);
  EXPECT_THAT(decision.preemptions, IsEmpty());
  ASSERT_EQ(decision.assignments.size(), 1u);
  EXPECT_EQ(decision.assignments[0].run_id, 3);
}

TEST(ClusterViewTest, TheLastTryOfARunIsOnAnotherHostWhileThereIsOne) {
  ClusterView view(kLeaseNs);
  view.PutAgent(Registration(), 0);
  view.RecordHeartbeat(HeartbeatWithFree({"cpu:0", "cpu:1"}), 0);
  store::RunRow row = LeasedRow(1, "t", "cpu:0");
  row.run.set_state(v1::PENDING);
  row.run.set_failures(2);
  row.attempt->host = "host-a";
  row.attempt->state = store::AttemptState::kEnded;
  row.attempt->exit_reason = v1::KILLED;
  row.attempt->made_progress = true;
  view.Put(row, 0);
  const auto avoided = [&] { return view.state().runs.at(1).avoided_host; };
  EXPECT_EQ(avoided(), "") << "there is no other";

  v1::RegisterRequest other = Registration();
  other.set_agent_id("b");
  other.set_host("host-b");
  view.PutAgent(other, 0);
  EXPECT_EQ(avoided(), "") << "it was not heard yet";
  v1::HeartbeatRequest busy = HeartbeatWithFree({});
  busy.set_agent_id("b");
  view.RecordHeartbeat(busy, 0);
  EXPECT_EQ(avoided(), "host-a");
  EXPECT_THAT(view.Decide(0).assignments, IsEmpty()) << "it waits for host-b";
  view.SetDrained({{"host-b", "by hand"}});
  EXPECT_EQ(avoided(), "");
  view.SetDrained({});
  EXPECT_EQ(avoided(), "host-a");
  view.RemoveAgent("b");
  EXPECT_EQ(avoided(), "");
  EXPECT_EQ(view.Decide(0).assignments.size(), 1u);

  view.PutAgent(other, 0);
  view.RecordHeartbeat(busy, 0);
  row.run.set_failures(1);
  view.Put(row, 0);
  EXPECT_EQ(avoided(), "") << "it has another try";
  row.run.set_failures(2);
  row.attempt->exit_reason = v1::DIVERGED;
  view.Put(row, 0);
  EXPECT_EQ(avoided(), "") << "says nothing about the host";
  row.run.set_failures(0);
  row.attempt->exit_reason = v1::AGENT_LOST;
  view.Put(row, 0);
  EXPECT_EQ(avoided(), "") << "its first worker may have been restarted";
  row.run.set_lost_leases(3);
  view.Put(row, 0);
  EXPECT_EQ(avoided(), "host-a") << "a host that loses its agent again and again";
}

TEST(ClusterViewTest, MeasuredPaceTurnsDurationsIntoSeconds) {
  ClusterView view(kLeaseNs);
  const store::RunRow row = LeasedRow(1, "t", "cpu:0");
  view.Put(row, 0);
  view.Put(Row(2, v1::PENDING), 0);
  EXPECT_DOUBLE_EQ(view.state().runs.at(2).duration, 100 * 10 * 6000.0) << "FLOPs";
  view.Progress(LeaseOf(row), 50, /*tokens_per_second=*/20);
  view.RefreshDurations();
  EXPECT_DOUBLE_EQ(view.state().runs.at(2).duration, 100 * 10 / 20.0);
  EXPECT_DOUBLE_EQ(view.state().runs.at(1).duration, 50 * 10 / 20.0);
  EXPECT_DOUBLE_EQ(view.state().runs.at(1).flops_remaining, 50 * 10 * 6000.0);
}

// Slot cpu:0 of agent "a" takes two runs.
v1::RegisterRequest SharedRegistration() {
  v1::RegisterRequest request = Registration();
  request.mutable_slots()->DeleteSubrange(1, 1);
  request.mutable_slots(0)->set_runs(2);
  return request;
}

// A heartbeat with room for so many on cpu:0, that lists these attempts.
v1::HeartbeatRequest HeartbeatWithRoom(int32_t room, const std::vector<store::RunRow>& held) {
  v1::HeartbeatRequest request = HeartbeatWithFree({});
  if (room > 0) {
    *request.add_free_slots() = SlotAt("cpu:0");
    request.mutable_free_slots(0)->set_runs(room);
  }
  for (const store::RunRow& row : held) *request.add_held()->mutable_lease() = LeaseOf(row);
  return request;
}

TEST(ClusterViewTest, NobodyJoinsASlotWhereMoreRunThanRowsKnowOf) {
  ClusterView view(kLeaseNs);
  view.PutAgent(SharedRegistration(), 0);
  view.RecordHeartbeat(HeartbeatWithRoom(2, {}), 0);
  const store::RunRow first = LeasedRow(1, "t1", "cpu:0");
  view.Put(first, 0);
  view.Put(Row(2, v1::PENDING), 0);
  view.RecordHeartbeat(HeartbeatWithRoom(1, {first}), 0);
  EXPECT_EQ(view.Decide(0).assignments.size(), 1u);
  // Run 1 has ended for the rows, its trainer has not: the room that is left is not used.
  store::RunRow ended = first;
  ended.run.set_state(v1::RUN_SUCCEEDED);
  view.Put(ended, 0);
  EXPECT_THAT(view.Decide(0).assignments, IsEmpty());
  view.RecordHeartbeat(HeartbeatWithRoom(2, {}), 0);
  EXPECT_EQ(view.Decide(0).assignments.size(), 1u);
}

TEST(ClusterViewTest, RunsThatWereMeasuredToBeSlowerTogetherNoLongerShare) {
  ClusterView view(kLeaseNs);
  view.PutAgent(SharedRegistration(), 0);
  view.RecordHeartbeat(HeartbeatWithRoom(2, {}), 0);
  const store::RunRow first = LeasedRow(1, "t1", "cpu:0");
  const store::RunRow second = LeasedRow(2, "t2", "cpu:0");
  view.Put(first, 0);
  for (int i = 0; i < 3; ++i) view.Progress(LeaseOf(first), 1 + i, /*tokens_per_second=*/100);
  view.Put(second, 0);
  for (int i = 0; i < 3; ++i) view.Progress(LeaseOf(first), 5 + i, /*tokens_per_second=*/40);
  view.RefreshDurations();
  EXPECT_EQ(view.state().runs.at(1).max_sharers, 1);
  EXPECT_EQ(view.throughput().FlopsPerSecond(1000), 100 * 6000.0) << "the pace of one alone";
}

TEST(ClusterViewTest, ProgressOfAStaleAttemptIsNotBelieved) {
  ClusterView view(kLeaseNs);
  const store::RunRow first = LeasedRow(1, "t1", "cpu:0");
  view.Put(first, 0);
  view.Put(LeasedRow(1, "t2", "cpu:0"), 0);
  view.Progress(LeaseOf(first), 90, 0);
  EXPECT_FALSE(view.HasStreamed(1));
  EXPECT_DOUBLE_EQ(view.state().runs.at(1).flops_remaining, 100 * 10 * 6000.0);
}

TEST(ClusterViewTest, RunThatWaitsKeepsTheTimeSinceWhichItWaits) {
  ClusterView view(kLeaseNs);
  view.Put(Row(1, v1::PENDING), 5);
  view.Put(Row(1, v1::PENDING), 500);
  EXPECT_EQ(view.state().runs.at(1).waiting_since_ns, 5);
  view.Put(LeasedRow(1, "t", "cpu:0"), 600);
  view.Put(Row(1, v1::PENDING), 700);
  EXPECT_EQ(view.state().runs.at(1).waiting_since_ns, 700);
}

TEST(ClusterViewTest, FoldingChangesEndsWhereRebuildingFromTheRowsDoes) {
  ClusterView folded(kLeaseNs);
  folded.PutAgent(Registration(), 0);
  folded.RecordHeartbeat(HeartbeatWithFree({"cpu:0", "cpu:1"}), 0);
  std::map<int64_t, store::RunRow> rows;
  const auto put = [&](const store::RunRow& row) {
    folded.Put(row, 0);
    rows[row.run.run_id()] = row;
  };
  for (int step = 0; step < 200; ++step) {
    const int64_t run_id = 1 + (step * 7) % 5;
    const std::string token = "t" + std::to_string(step);
    switch ((step * 5 + step / 7) % 4) {
      case 0:
        put(Row(run_id, v1::PENDING));
        break;
      case 1:
        put(LeasedRow(run_id, token, "cpu:0"));
        break;
      case 2:
        put(LeasedRow(run_id, token, "cpu:1"));
        break;
      case 3:
        put(Row(run_id, v1::RUN_SUCCEEDED));
        break;
    }
    ClusterView rebuilt(kLeaseNs);
    rebuilt.PutAgent(Registration(), 0);
    rebuilt.RecordHeartbeat(HeartbeatWithFree({"cpu:0", "cpu:1"}), 0);
    for (const auto& [id, row] : rows) rebuilt.Put(row, 0);
    ASSERT_EQ(folded.HeldBy("a"), rebuilt.HeldBy("a")) << "step " << step;
    ASSERT_EQ(UsableDevices(folded), UsableDevices(rebuilt)) << "step " << step;
    ASSERT_EQ(folded.state().runs.size(), rebuilt.state().runs.size()) << "step " << step;
    for (const auto& [id, run] : rebuilt.state().runs) {
      const schedule::RunState& other = folded.state().runs.at(id);
      ASSERT_EQ(other.placement.has_value(), run.placement.has_value()) << "step " << step;
      ASSERT_EQ(other.flops_remaining, run.flops_remaining) << "step " << step;
    }
  }
}

}  // namespace
}  // namespace allometry::coordinator
