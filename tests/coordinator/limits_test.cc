// Budgets of device-hours: used up, running runs stop with a checkpoint and waiting ones say why;
// raised, everything goes on where it was.
#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class LimitsTest : public CoordinatorTest {
 protected:
  // Time passes, and the agent is heard meanwhile.
  void Pass(FakeAgent& agent, int64_t ms) {
    for (int64_t passed = 0; passed < ms; passed += 500) {
      clock_.AdvanceMs(500);
      ASSERT_OK(agent.Reconcile());
    }
  }
  // Whether the agent is told to stop this attempt.
  bool ToldToStop(FakeAgent& agent, const v1::Lease& lease) {
    const auto response = agent.Reconcile();
    if (!response.ok()) return false;
    for (const v1::Hold& hold : response->hold()) {
      if (hold.lease().token() == lease.token() && hold.preempt()) return true;
    }
    return false;
  }
  // Stops as it was told, with a checkpoint at `step` and every evaluation up to there.
  void StopAt(FakeAgent& agent, const v1::Hold& hold, int64_t step) {
    std::vector<v1::Record> records;
    for (const int64_t at : hold.spec().evaluation_steps()) {
      if (at <= step) records.push_back(PointAt(records.size() + 1, at, "heldout", 4));
    }
    records.push_back(
        CheckpointAt(records.size() + 1, hold.lease().attempt(), step, "root-of-host-a"));
    records.push_back(ExitWith(records.size() + 1, v1::PREEMPTED, step));
    ASSERT_OK(agent.Send(hold.lease(), records));
    agent.MarkEnded(hold.lease(), records.size());
  }
  void PlayToItsEnd(FakeAgent& agent, const v1::Hold& hold) {
    const auto records = WholeRun(hold.spec(), 5000);
    ASSERT_OK(agent.Send(hold.lease(), records));
    agent.MarkEnded(hold.lease(), records.size());
  }
};

TEST_F(LimitsTest, UsedUpBudgetStopsWhatRunsBlocksWhatWaitsAndRaisedLetsItGoOn) {
  // 0.002 hours are 7.2 seconds.
  ASSERT_OK(Submit({.more = "limits: {max_device_hours: 0.002}\n"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold first = agent->Obtain();
  ASSERT_TRUE(first.has_lease());
  Pass(*agent, 6000);
  EXPECT_FALSE(ToldToStop(*agent, first.lease()));
  EXPECT_NEAR(Get().sweep().device_seconds(), 6, 1e-6);
  EXPECT_NEAR(GetRun(first.lease().run_id()).device_seconds(), 6, 1e-6);
  Pass(*agent, 1500);
  ASSERT_TRUE(Eventually([&] { return ToldToStop(*agent, first.lease()); }));
  StopAt(*agent, first, 40);
  EXPECT_FALSE(agent->Obtain(5).has_lease()) << "the budget is used up";

  const v1::GetSweepResponse blocked = Get();
  ASSERT_THAT(blocked.runs(), SizeIs(2));
  for (const v1::Run& run : blocked.runs()) {
    EXPECT_EQ(run.state(), v1::PENDING);
    EXPECT_THAT(run.reason(), StartsWith("waiting: the sweep's budget of 0.002 device-hours is "
                                         "used up (0.00208); raise limits.max_device_hours"));
  }

  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse raised,
                       Submit({.more = "limits: {max_device_hours: 1}\n"}));
  EXPECT_THAT(raised.changes(),
              ::testing::ElementsAre("changes limits.max_device_hours 0.002 to 1"));
  v1::Hold next;
  ASSERT_TRUE(Eventually([&] { return (next = agent->Obtain(5)).has_lease(); }));
  EXPECT_EQ(next.lease().run_id(), first.lease().run_id());
  EXPECT_EQ(next.spec().start().step(), 40);
}

TEST_F(LimitsTest, RunOverItsLimitFailsWithLimitAndGoesOnFromItsCheckpointWhenItIsRaised) {
  ASSERT_OK(Submit({.sizes = "[5k]", .more = "limits: {max_run_hours: 0.001}\n"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold first = agent->Obtain();
  Pass(*agent, 4000);
  ASSERT_TRUE(Eventually([&] { return ToldToStop(*agent, first.lease()); }));
  StopAt(*agent, first, 40);
  v1::Run run = GetRun(first.lease().run_id());
  EXPECT_EQ(run.state(), v1::RUN_FAILED);
  EXPECT_EQ(run.failure(), v1::LIMIT);
  EXPECT_THAT(run.reason(), HasSubstr("0.00111 device-hours of limits.max_run_hours 0.001"));
  EXPECT_EQ(run.checkpoint().step(), 40);

  // Retried without more time it waits, and says for what.
  v1::RetrySweepRequest retry;
  retry.set_name("tiny");
  ASSERT_OK(Call(&v1::ClientService::Stub::RetrySweep, retry));
  EXPECT_FALSE(agent->Obtain(5).has_lease());
  EXPECT_THAT(GetRun(run.run_id()).reason(), HasSubstr("raise it and submit again"));

  ASSERT_OK(Submit({.sizes = "[5k]", .more = "limits: {max_run_hours: 1}\n"}));
  v1::Hold next;
  ASSERT_TRUE(Eventually([&] { return (next = agent->Obtain(5)).has_lease(); }));
  EXPECT_EQ(next.spec().start().step(), 40);
  PlayToItsEnd(*agent, next);
  EXPECT_EQ(GetRun(run.run_id()).state(), v1::RUN_SUCCEEDED);
}

TEST_F(LimitsTest, RunThatFailedByItsLimitIsTakenUpByRaisingItAlone) {
  ASSERT_OK(Submit({.sizes = "[5k]", .more = "limits: {max_run_hours: 0.001}\n"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold first = agent->Obtain();
  Pass(*agent, 4000);
  ASSERT_TRUE(Eventually([&] { return ToldToStop(*agent, first.lease()); }));
  StopAt(*agent, first, 40);
  ASSERT_OK(Submit({.sizes = "[5k]"}));  // no limit any more
  const v1::Hold next = agent->Obtain();
  ASSERT_TRUE(next.has_lease());
  EXPECT_EQ(next.spec().start().step(), 40);
}

TEST_F(LimitsTest, GangsCountEveryDeviceAndOtherSweepsNothing) {
  ASSERT_OK(Submit({.sizes = "[5k]", .more = "devices: 2\nlimits: {max_device_hours: 0.002}\n"}));
  ASSERT_OK(Submit({.name = "other", .sizes = "[5k]"}));
  auto agent = NewAgent("host-a", {"cpu:0", "cpu:1", "cpu:2"});
  ASSERT_OK(agent->Register());
  const v1::Hold gang = agent->Obtain();
  const v1::Hold other = agent->Obtain();
  ASSERT_TRUE(other.has_lease());
  ASSERT_THAT(gang.slots(), SizeIs(2));
  Pass(*agent, 3000);
  EXPECT_NEAR(Get().sweep().device_seconds(), 6, 1e-6);
  EXPECT_NEAR(Get("other").sweep().device_seconds(), 3, 1e-6);
  Pass(*agent, 1000);
  EXPECT_TRUE(Eventually([&] { return ToldToStop(*agent, gang.lease()); }));
  EXPECT_FALSE(ToldToStop(*agent, other.lease()));
}

TEST_F(LimitsTest, DryRunOfAGrownSweepKeepsWhatIsDoneApartFromWhatIsNew) {
  ASSERT_OK(Submit({.sizes = "[5k, 20k]"}));
  auto agent = NewAgent("host-a", {"cpu:0", "cpu:1"});
  ASSERT_OK(agent->Register());
  EXPECT_EQ(PlayAll(*agent), 2);
  v1::CreateSweepRequest request =
      Request({.sizes = "[5k, 20k, 80k]", .budgets = "[10240, 20480, 40960, 102400, 204800]"});
  request.set_dry_run(true);
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse dry,
                       Call(&v1::ClientService::Stub::CreateSweep, request));
  ASSERT_THAT(dry.runs(), SizeIs(3));
  EXPECT_EQ(dry.runs(0).step(), 200);
  EXPECT_EQ(dry.runs(0).spec().steps(), 400);
  EXPECT_EQ(dry.runs(2).run_id(), -1);
  int of_new_run = 0;
  for (const v1::Cell& cell : dry.cells()) of_new_run += cell.run_id() == -1;
  EXPECT_EQ(of_new_run, 5);
}

}  // namespace
}  // namespace allometry::testing
