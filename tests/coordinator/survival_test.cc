// What the coordinator makes of runs, hosts and clocks that misbehave, over the wire.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

v1::Record ExecutionConfigOf(uint64_t sequence, int micro_batch, int ranks = 1) {
  v1::Record record;
  record.set_sequence(sequence);
  v1::Numerics& numerics = *record.mutable_numerics();
  numerics.set_ranks(ranks);
  numerics.set_hosts(ranks == 1 ? "host-a" : "host-a,host-a");
  numerics.set_micro_batch(micro_batch);
  numerics.set_device("cpu");
  numerics.set_device_model("a CPU");
  numerics.set_trainer_build("a build");
  numerics.set_step_backend("reference");
  return record;
}

// An attempt under these numerics with every evaluation up to `step` and a checkpoint there.
std::vector<v1::Record> TrainedTo(const v1::Hold& hold, int64_t step, int micro_batch) {
  std::vector<v1::Record> records = {ExecutionConfigOf(1, micro_batch)};
  for (const int64_t evaluation : hold.spec().evaluation_steps()) {
    if (evaluation > step) break;
    records.push_back(PointAt(records.size() + 1, evaluation, "heldout", 4));
  }
  records.push_back(
      CheckpointAt(records.size() + 1, hold.lease().attempt(), step, "root-of-host-a"));
  return records;
}

std::vector<v1::Record> Ended(std::vector<v1::Record> records, v1::ExitReason reason, int64_t step,
                              const std::string& message = "") {
  records.push_back(ExitWith(records.size() + 1, reason, step, message));
  return records;
}

class SurvivalTest : public CoordinatorTest {
 protected:
  absl::StatusOr<v1::PreemptSweepResponse> Preempt(int64_t within_ms,
                                                   std::vector<int64_t> run_ids = {}) {
    v1::PreemptSweepRequest request;
    request.set_name("tiny");
    request.set_within_ms(within_ms);
    for (const int64_t run_id : run_ids) request.add_run_ids(run_id);
    return Call(&v1::ClientService::Stub::PreemptSweep, request);
  }
  absl::Status Drain(const std::string& host, bool drained) {
    v1::SetDrainedRequest request;
    request.set_host(host);
    request.set_drained(drained);
    return Call(&v1::ClientService::Stub::SetDrained, request).status();
  }
  v1::Worker WorkerOn(const std::string& host) {
    const auto workers = Call(&v1::ClientService::Stub::ListWorkers, v1::ListWorkersRequest());
    EXPECT_THAT(workers, IsOk());
    for (const v1::Worker& worker : workers->workers()) {
      if (worker.host() == host) return worker;
    }
    ADD_FAILURE() << "no worker on " << host;
    return {};
  }
  // Obtains so many runs and has each die of SIGKILL.
  void KillRuns(FakeAgent& agent, int count) {
    std::vector<v1::Hold> holds;
    for (int i = 0; i < count; ++i) {
      holds.push_back(agent.Obtain());
      ASSERT_TRUE(holds.back().has_lease()) << i;
    }
    for (const v1::Hold& hold : holds) {
      ASSERT_OK(agent.Send(hold.lease(),
                           {PointAt(1, 1, "train", 4), ExitWith(2, v1::KILLED, 1, "signal 9")}));
    }
    ASSERT_OK(agent.Reconcile());
  }
};

TEST_F(SurvivalTest, AHostThatKillsRunsGetsNoneUntilItIsGivenSomeAgain) {
  ASSERT_OK(Submit({.sizes = "[5k]", .seeds = "[1, 2, 3, 4]"}));
  auto bad = NewAgent("host-a", {"cpu:0", "cpu:1", "cpu:2"});
  auto good = NewAgent("host-b");
  ASSERT_OK(bad->Register());
  ASSERT_OK(bad->Heartbeat());
  ASSERT_OK(good->Register());
  ASSERT_OK(good->Heartbeat());
  KillRuns(*bad, 3);
  ASSERT_TRUE(Eventually([&] { return !WorkerOn("host-a").drained().empty(); }));
  EXPECT_THAT(WorkerOn("host-a").drained(), HasSubstr("3 runs died there"));
  EXPECT_THAT(WorkerOn("host-b").drained(), IsEmpty());
  // Leases that began before the verdict are over when they are not listed; then nothing comes.
  for (const v1::Hold& hold : std::vector<v1::Hold>(bad->held())) bad->Forget(hold.lease());
  clock_.AdvanceMs(kLeaseMs + 1);
  ASSERT_TRUE(Eventually([&] { return bad->Heartbeat().ok() || bad->Register().ok(); }));
  ASSERT_TRUE(Eventually([&] {
    const v1::GetSweepResponse sweep = Get();
    return bad->Heartbeat().ok() &&
           std::none_of(sweep.runs().begin(), sweep.runs().end(),
                        [](const v1::Run& run) { return run.state() == v1::LEASED; });
  }));
  // It stays so over a restart of the coordinator.
  coordinator_->Restart();
  client_ = coordinator_->client();
  ASSERT_OK(bad->Register());
  EXPECT_FALSE(bad->Obtain(5).has_lease());
  EXPECT_THAT(WorkerOn("host-a").drained(), HasSubstr("3 runs died there"));
  ASSERT_OK(Drain("host-a", false));
  EXPECT_TRUE(bad->Obtain().has_lease()) << "what was before is forgiven";
}

TEST_F(SurvivalTest, TheLastHostIsKeptHoweverBad) {
  ASSERT_OK(Submit({.sizes = "[5k]", .seeds = "[1, 2, 3, 4]"}));
  auto only = NewAgent("host-a", {"cpu:0", "cpu:1", "cpu:2"});
  ASSERT_OK(only->Register());
  KillRuns(*only, 3);
  EXPECT_TRUE(only->Obtain().has_lease());
  EXPECT_THAT(WorkerOn("host-a").drained(), IsEmpty());
}

TEST_F(SurvivalTest, AHostIsDrainedAndUndrainedByHand) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_OK(Drain("host-a", true));
  EXPECT_FALSE(agent->Obtain(5).has_lease());
  EXPECT_THAT(GetRun(1).reason(), HasSubstr("drained by hand"));
  EXPECT_THAT(Drain("host-x", true),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is host-a")));
  ASSERT_OK(Drain("host-a", false));
  EXPECT_TRUE(agent->Obtain().has_lease());
}

TEST_F(SurvivalTest, OutOfMemoryGoesOnWithHalfTheMicroBatchAndTheCurveIsMarked) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold first = agent->Obtain();  // 512 tokens of 16: 32 sequences
  EXPECT_EQ(first.spec().micro_batch(), 0);
  ASSERT_OK(agent->Send(first.lease(), Ended(TrainedTo(first, 10, 32), v1::OOM, 12,
                                             "tried 3 GiB\nlast line of the log")));
  EXPECT_THAT(GetRun(1).reason(),
              HasSubstr("OOM: tried 3 GiB with 32 sequences at once on a rank; goes on with 16"));
  const v1::Hold second = agent->Obtain();
  ASSERT_TRUE(second.has_lease());
  EXPECT_EQ(second.spec().micro_batch(), 16);
  EXPECT_EQ(second.spec().identity().batch_tokens(), first.spec().identity().batch_tokens());
  EXPECT_EQ(second.spec().start().step(), 10);
  EXPECT_EQ(GetRun(1).failures(), 0);
  EXPECT_THAT(GetRun(1).reason(), Not(HasSubstr("numerics"))) << "nothing was trained under them";
  ASSERT_OK(agent->Send(second.lease(), {ExecutionConfigOf(1, 16), PointAt(2, 20, "train", 3.9)}));
  EXPECT_THAT(GetRun(1).reason(), HasSubstr("numerics changed at step 10: micro-batch 32 to 16"));
  // The same file again does not forget what the run needs.
  ASSERT_OK(Submit({.sizes = "[5k]", .more = "log_every: 7\n"}));
  EXPECT_EQ(GetRun(1).spec().micro_batch(), 16);
}

TEST_F(SurvivalTest, AFitNamesTheRunsOfMoreThanOneNumericsAndOnlyThose) {
  ASSERT_OK(Submit({.sizes = "[5k, 20k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  // Each run is killed and resumed; the first with another micro-batch.
  for (int i = 0; i < 2; ++i) {
    const v1::Hold first = agent->Obtain();
    ASSERT_TRUE(first.has_lease());
    const int64_t run_id = first.lease().run_id();
    ASSERT_OK(agent->Send(first.lease(), {ExecutionConfigOf(1, 32), PointAt(2, 1, "train", 4),
                                          CheckpointAt(3, 1, 1, "root-of-host-a"),
                                          ExitWith(4, v1::KILLED, 1, "signal 9")}));
    const v1::Hold second = agent->Obtain();
    ASSERT_EQ(second.lease().run_id(), run_id);
    std::vector<v1::Record> records =
        WholeRun(second.spec(), static_cast<double>(AnyRun(run_id).n_params()));
    records.insert(records.begin(), ExecutionConfigOf(1, i == 0 ? 16 : 32));
    for (size_t at = 0; at < records.size(); ++at) records[at].set_sequence(at + 1);
    ASSERT_OK(agent->Send(second.lease(), records));
    agent->MarkEnded(second.lease(), records.size());
    ASSERT_EQ(GetRun(run_id).state(), v1::RUN_SUCCEEDED) << GetRun(run_id).reason();
  }
  v1::FitRequest request;
  request.set_sweep("tiny");
  ASSERT_OK_AND_ASSIGN(const auto fit, Call(&v1::ClientService::Stub::Fit, request));
  EXPECT_THAT(fit.report_json(),
              AllOf(HasSubstr("1 of 2 runs were trained under more than one numerics"),
                    HasSubstr("at step 1: micro-batch 32 to 16\"")));
}

TEST_F(SurvivalTest, APreemptedRunStopsInTimeAndGoesOnWithOtherRanks) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a", {"cpu:0", "cpu:1"});
  ASSERT_OK(agent->Register());
  const v1::Hold first = agent->Obtain();
  EXPECT_EQ(first.slots_size(), 1);
  // The file asks for two devices: from the next attempt on.
  ASSERT_OK(Submit({.sizes = "[5k]", .more = "devices: 2\n"}));
  EXPECT_THAT(Preempt(-1), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Preempt(0, {9}), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const auto preempted, Preempt(2500));
  EXPECT_EQ(preempted.preempted(), 1);
  ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse told, agent->Heartbeat());
  ASSERT_THAT(told.hold(), SizeIs(1));
  EXPECT_TRUE(told.hold(0).preempt());
  EXPECT_EQ(told.hold(0).stop_within_ms(), 2500);
  const std::vector<v1::Record> records = Ended(TrainedTo(first, 9, 32), v1::PREEMPTED, 9);
  ASSERT_OK(agent->Send(first.lease(), records));
  agent->MarkEnded(first.lease(), records.size());
  const v1::Hold second = agent->Obtain();
  ASSERT_TRUE(second.has_lease());
  EXPECT_EQ(second.spec().ranks(), 2);
  EXPECT_EQ(second.slots_size(), 2);
  EXPECT_EQ(second.spec().start().step(), 9);
  EXPECT_FALSE(second.preempt());
  EXPECT_EQ(GetRun(1).failures(), 0);
  ASSERT_OK(
      agent->Send(second.lease(), {ExecutionConfigOf(1, 16, 2), PointAt(2, 20, "train", 3.9)}));
  EXPECT_THAT(GetRun(1).reason(), HasSubstr("at step 9: ranks 1 to 2, micro-batch 32 to 16"));
}

TEST_F(SurvivalTest, ARunThatFailedShowsTheLastLinesOfItsLog) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  for (int i = 0; i < 3; ++i) {
    const v1::Hold hold = agent->Obtain();
    ASSERT_TRUE(hold.has_lease());
    ASSERT_OK(agent->Send(hold.lease(),
                          {PointAt(1, 1, "train", 4),
                           ExitWith(2, v1::BUG, 1, "ended with code 1: what(): oh\nwhat(): oh")}));
  }
  EXPECT_EQ(GetRun(1).state(), v1::RUN_FAILED);
  EXPECT_EQ(GetRun(1).reason(),
            "failed 3 times, the last with BUG: ended with code 1: what(): oh\nwhat(): oh");
}

TEST_F(SurvivalTest, WhereADatasetIsMissingEveryRunWaits) {
  ASSERT_OK(Submit({.sizes = "[5k]", .seeds = "[1, 2]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_OK(agent->Send(hold.lease(), {ExitWith(1, v1::DATA, 0, "train-00000.npy: no such file")}));
  agent->datasets.clear();  // the agent looked again
  agent->MarkEnded(hold.lease(), 1);
  EXPECT_FALSE(agent->Obtain(5).has_lease());
  const int64_t other = 3 - hold.lease().run_id();
  EXPECT_EQ(GetRun(hold.lease().run_id()).state(), v1::PENDING);
  EXPECT_THAT(GetRun(hold.lease().run_id()).reason(), HasSubstr("train-00000.npy"));
  EXPECT_EQ(GetRun(other).state(), v1::PENDING);
  EXPECT_THAT(GetRun(other).reason(), HasSubstr("no worker has dataset tiny-text"));
}

// A worker cut off by the network ends its trainer at the deadline that it knows: the time when it
// asked, plus the lease. Whatever is lost or late and however the wall clock jumps, nobody else has
// the run before that.
TEST_F(SurvivalTest, NobodyGetsARunBeforeItsAgentMustHaveEndedIt) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto first = NewAgent("host-a");
  ASSERT_OK(first->Register());
  ASSERT_TRUE(first->Obtain().has_lease());
  auto second = NewAgent("host-b");
  ASSERT_OK(second->Register());
  std::mt19937 random(7);
  const auto draw = [&](int64_t from, int64_t to) {
    return std::uniform_int_distribution<int64_t>(from, to)(random);
  };
  int64_t deadline_ms = clock_.BootNanos() / 1'000'000 + kLeaseMs;
  bool given_away = false;
  for (int i = 0; i < 2000 && !given_away; ++i) {
    clock_.JumpWallMs(draw(-3'600'000, 3'600'000));
    const int64_t now_ms = clock_.BootNanos() / 1'000'000;
    // Cut off from round 200 on; before that most heartbeats come, some replies are lost.
    if (i < 200 && draw(0, 3) > 0) {
      const auto reply = first->Heartbeat();  // refused once it was silent for a lease
      const bool reply_is_lost = draw(0, 3) == 0;
      if (reply.ok() && !reply_is_lost && reply->hold_size() == 1) {
        deadline_ms = now_ms + reply->hold(0).lease_ms();
      }
    }
    const auto other = second->Heartbeat();
    if (other.ok()) {
      given_away = !other->hold().empty();
      ASSERT_FALSE(given_away && now_ms < deadline_ms)
          << "in round " << i << ", " << deadline_ms - now_ms << " ms too early";
    } else {
      ASSERT_OK(second->Register());
    }
    clock_.AdvanceMs(draw(1, kLeaseMs / 4));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // for the ticks that end leases
  }
  EXPECT_TRUE(given_away) << "and at last somebody has it";
  EXPECT_EQ(GetRun(1).attempt(), 2);
}

}  // namespace
}  // namespace allometry::testing
