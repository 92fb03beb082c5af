#include "coordinator/schedule/drain.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::schedule {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

EndOnHost Died(const std::string& host, int64_t run_id, v1::ExitReason reason = v1::KILLED,
               int64_t step = 10, int64_t step_elsewhere = 0) {
  return {host, run_id, reason, step, step_elsewhere};
}

// Hosts "a" and "b" with a slot each, and a run that waits.
class DrainTest : public ::testing::Test {
 protected:
  DrainTest() {
    for (const std::string host : {"a", "b"}) {
      AgentState& agent = state_.agents["agent-" + host];
      agent.agent_id = "agent-" + host;
      agent.host = host;
      agent.live = true;
      v1::Slot slot;
      slot.set_host(host);
      slot.set_device("cpu:0");
      agent.slots = {slot};
      agent.dataset_hashes = {"text"};
    }
    RunState& run = state_.runs[1];
    run.run_id = 1;
    run.dataset_hash = "text";
  }
  std::vector<DrainAdvice> Advice(const std::vector<EndOnHost>& ends) {
    return HostsToDrain(ends, state_, drained_);
  }
  ClusterState state_;
  std::set<std::string> drained_;
};

TEST_F(DrainTest, ThreeRunsThatDiedWithoutASuccessDrainTheirHost) {
  const auto advice =
      Advice({Died("a", 1), Died("a", 2, v1::STALLED), Died("a", 3, v1::NODE_LOST)});
  ASSERT_THAT(advice, SizeIs(1));
  EXPECT_EQ(advice[0].host, "a");
  EXPECT_FALSE(advice[0].is_last_host);
  EXPECT_EQ(advice[0].reason,
            "3 runs died there and none ended well meanwhile: 1 (KILLED), 2 (STALLED), 3 "
            "(NODE_LOST)");
}

TEST_F(DrainTest, OneRunThatDiesAgainAndAgainIsTheRunsFault) {
  EXPECT_THAT(Advice({Died("a", 1), Died("a", 1), Died("a", 1), Died("a", 2), Died("a", 2)}),
              IsEmpty());
}

TEST_F(DrainTest, ASuccessMeanwhileForgivesWhatWasBefore) {
  EXPECT_THAT(Advice({Died("a", 1), Died("a", 2), Died("a", 9, v1::SUCCEEDED), Died("a", 3)}),
              IsEmpty());
  EXPECT_THAT(Advice({Died("a", 9, v1::SUCCEEDED), Died("a", 1), Died("a", 2), Died("a", 3)}),
              SizeIs(1));
  EXPECT_THAT(Advice({Died("a", 1), Died("a", 2), Died("b", 9, v1::SUCCEEDED), Died("a", 3)}),
              SizeIs(1))
      << "on another host it forgives nothing";
}

TEST_F(DrainTest, RunsThatCameFurtherElsewhereDrainInSpiteOfASuccess) {
  std::vector<EndOnHost> ends = {Died("a", 1, v1::KILLED, 10, 50), Died("a", 2, v1::OOM, 10, 11),
                                 Died("a", 9, v1::SUCCEEDED), Died("a", 3, v1::DEVICE, 0, 5)};
  ASSERT_THAT(Advice(ends), SizeIs(1));
  EXPECT_THAT(Advice(ends)[0].reason, HasSubstr("came further elsewhere"));
  ends[1].step_elsewhere = 10;  // no further
  EXPECT_THAT(Advice(ends), IsEmpty());
}

TEST_F(DrainTest, EndsThatAreARunsOwnDoNotCount) {
  std::vector<EndOnHost> ends;
  for (const v1::ExitReason reason :
       {v1::DIVERGED, v1::DATA, v1::BUG, v1::CHECKPOINT, v1::AGENT_LOST, v1::LEASE_LOST,
        v1::DISK_FULL, v1::PREEMPTED}) {
    ends.push_back(Died("a", static_cast<int64_t>(ends.size()) + 1, reason));
  }
  EXPECT_THAT(Advice(ends), IsEmpty());
}

TEST_F(DrainTest, BugsThatAreNotChargedToTheHostDrainItWhereTheRunsCameFurtherElsewhere) {
  std::vector<EndOnHost> ends = {Died("a", 1, v1::BUG, 10, 50), Died("a", 2, v1::DATA, 10, 11),
                                 Died("a", 3, v1::BUG, 10, 90)};
  EXPECT_THAT(Advice(ends), SizeIs(1));
  ends[1].charged_to_host = true;  // it rests for that
  EXPECT_THAT(Advice(ends), IsEmpty());
}

TEST_F(DrainTest, TheLastHostIsNamedAndKept) {
  state_.agents.erase("agent-b");
  const std::vector<EndOnHost> ends = {Died("a", 1), Died("a", 2), Died("a", 3)};
  ASSERT_THAT(Advice(ends), SizeIs(1));
  EXPECT_TRUE(Advice(ends)[0].is_last_host);
}

TEST_F(DrainTest, TheLastHostThatCouldRunSomethingThatIsOpenIsKept) {
  const std::vector<EndOnHost> ends = {Died("a", 1), Died("a", 2), Died("a", 3)};
  state_.agents["agent-b"].dataset_hashes.clear();
  EXPECT_TRUE(Advice(ends)[0].is_last_host) << "b has not the data";
  state_.agents["agent-b"].dataset_hashes = {"text"};
  state_.runs[1].ranks = 2;
  state_.agents["agent-a"].slots.push_back(state_.agents["agent-a"].slots[0]);
  EXPECT_TRUE(Advice(ends)[0].is_last_host) << "b is too narrow";
  state_.agents["agent-b"].slots.push_back(state_.agents["agent-b"].slots[0]);
  EXPECT_FALSE(Advice(ends)[0].is_last_host);
  state_.agents["agent-b"].live = false;
  EXPECT_TRUE(Advice(ends)[0].is_last_host) << "b is away";
}

TEST_F(DrainTest, OfTwoBadHostsOneStays) {
  const auto advice =
      Advice({Died("a", 1), Died("a", 2), Died("a", 3), Died("b", 1), Died("b", 2), Died("b", 3)});
  ASSERT_THAT(advice, SizeIs(2));
  EXPECT_FALSE(advice[0].is_last_host);
  EXPECT_TRUE(advice[1].is_last_host);
  drained_ = {"b"};
  const auto again = Advice({Died("a", 1), Died("a", 2), Died("a", 3)});
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_TRUE(again[0].is_last_host);
}

}  // namespace
}  // namespace allometry::schedule
