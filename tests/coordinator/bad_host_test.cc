// A host where nothing works, beside a good one and alone: no run fails for it.
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kNoLibrary[] = "ended with code 127: libtorch.so: cannot open shared object file";

class BadHostTest : public CoordinatorTest {
 protected:
  static TinySweep Runs(int count) {
    std::string seeds = "[1";
    for (int seed = 2; seed <= count; ++seed) absl::StrAppendFormat(&seeds, ", %d", seed);
    return {.sizes = "[5k]", .budgets = "[10240]", .seeds = seeds + "]"};
  }
  // What it is given it fails at, before the first point. How much that was.
  int FailAll(FakeAgent& agent, v1::ExitReason reason = v1::BUG) {
    int failed = 0;
    for (v1::Hold hold = agent.Obtain(1); hold.has_lease(); hold = agent.Obtain(1)) {
      EXPECT_THAT(agent.Send(hold.lease(), {ExitWith(1, reason, 0, kNoLibrary)}), IsOk());
      agent.MarkEnded(hold.lease(), 1);
      ++failed;
    }
    return failed;
  }
  // One run to its end, where there is one.
  bool PlayOne(FakeAgent& agent) {
    const v1::Hold hold = agent.Obtain(1);
    if (!hold.has_lease()) return false;
    const auto records = WholeRun(hold.spec(), 5000);
    EXPECT_THAT(agent.Send(hold.lease(), records), IsOk());
    agent.MarkEnded(hold.lease(), records.size());
    return true;
  }
  std::map<v1::RunState, int> States() {
    std::map<v1::RunState, int> states;
    const v1::GetSweepResponse sweep = Get();
    for (const v1::Run& run : sweep.runs()) ++states[run.state()];
    return states;
  }
  // Fails what it is given until its host rests for so long.
  bool RestsFor(FakeAgent& agent, const std::string& time) {
    return Eventually([&] {
      FailAll(agent);
      clock_.AdvanceMs(100);
      return absl::StrContains(Drained("host-a"), absl::StrCat("tried again ", time, " after"));
    });
  }
  std::string Drained(const std::string& host) {
    auto workers = Call(&v1::ClientService::Stub::ListWorkers, v1::ListWorkersRequest());
    EXPECT_THAT(workers, IsOk());
    for (const v1::Worker& worker : workers->workers()) {
      if (worker.host() == host) return worker.drained();
    }
    return "not there";
  }
};

class BadHostReasonTest : public BadHostTest,
                          public ::testing::WithParamInterface<v1::ExitReason> {};

TEST_P(BadHostReasonTest, BesideAGoodOneEndsNoRun) {
  ASSERT_OK(Submit(Runs(20)));
  auto bad = NewAgent("host-a", {"cpu:0", "cpu:1", "cpu:2", "cpu:3"});
  auto good = NewAgent("host-b");
  ASSERT_OK(bad->Register());
  ASSERT_OK(good->Register());
  int failed = 0, played = 0;
  for (int i = 0; i < 2000 && played < 20; ++i) {
    failed += FailAll(*bad, GetParam());
    played += PlayOne(*good);
    clock_.AdvanceMs(50);
  }
  EXPECT_EQ(played, 20);
  EXPECT_EQ(States()[v1::RUN_SUCCEEDED], 20);
  EXPECT_EQ(States()[v1::RUN_FAILED], 0);
  EXPECT_GE(failed, 1);
  EXPECT_LE(failed, 12) << "it goes on to get runs as if nothing had been";
}

INSTANTIATE_TEST_SUITE_P(EveryReason, BadHostReasonTest,
                         ::testing::Values(v1::BUG, v1::DATA, v1::DISK_FULL, v1::CHECKPOINT,
                                           v1::DEVICE, v1::KILLED, v1::STALLED),
                         [](const auto& info) { return v1::ExitReason_Name(info.param); });

TEST_F(BadHostTest, AloneItPausesTheSweepUntilItIsMended) {
  ASSERT_OK(Submit(Runs(3)));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  // Each round the rest is twice as long.
  ASSERT_TRUE(RestsFor(*agent, "32 s"));
  EXPECT_EQ(States()[v1::PENDING], 3);
  const std::string reason = GetRun(1).reason();
  EXPECT_THAT(reason, AllOf(HasSubstr("waiting: host-a gets no runs: 3 runs failed there before "
                                      "they got going, the last with BUG: "),
                            HasSubstr(kNoLibrary), HasSubstr("tried again 32 s after that"),
                            HasSubstr("'allo retry'")));
  const int attempts = GetRun(1).attempt() + GetRun(2).attempt() + GetRun(3).attempt();
  EXPECT_LE(attempts, 8);
  EXPECT_FALSE(PlayOne(*agent)) << "it rests";
  v1::RetrySweepRequest retry;
  retry.set_name("tiny");
  ASSERT_OK(Call(&v1::ClientService::Stub::RetrySweep, retry).status());
  // It is mended: one run shows that, and then it gets all.
  int played = 0;
  ASSERT_TRUE(Eventually([&] {
    clock_.AdvanceMs(10);
    played += PlayOne(*agent);
    return played == 3;
  }));
  EXPECT_EQ(States()[v1::RUN_SUCCEEDED], 3);
  ASSERT_TRUE(Eventually([&] { return Drained("host-a").empty(); }));
}

TEST_F(BadHostTest, AWorkerThatIsStartedAgainIsTriedAtOnce) {
  ASSERT_OK(Submit(Runs(2)));
  auto agent = NewAgent("host-a", {"cpu:0", "cpu:1"});
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(RestsFor(*agent, "8 s"));
  EXPECT_FALSE(PlayOne(*agent));
  ASSERT_OK(agent->Register());
  clock_.AdvanceMs(1100);  // what failed last leaves the others the first try
  EXPECT_TRUE(Eventually([&] { return PlayOne(*agent); }));
  EXPECT_TRUE(Eventually([&] { return PlayOne(*agent); }));
}

TEST_F(BadHostTest, ARunThatIsBrokenItselfFailsAloneOnAGoodHost) {
  ASSERT_OK(Submit(Runs(4)));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const int64_t broken = 1;
  ASSERT_TRUE(Eventually([&] {
    clock_.AdvanceMs(300);
    for (v1::Hold hold = agent->Obtain(1); hold.has_lease(); hold = agent->Obtain(1)) {
      const std::vector<v1::Record> records =
          hold.lease().run_id() == broken
              ? std::vector<v1::Record>{ExitWith(1, v1::BUG, 0, "a tensor of the wrong shape")}
              : WholeRun(hold.spec(), 5000);
      EXPECT_THAT(agent->Send(hold.lease(), records), IsOk());
      agent->MarkEnded(hold.lease(), records.size());
    }
    return States()[v1::RUN_SUCCEEDED] == 3 && States()[v1::RUN_FAILED] == 1;
  }));
  EXPECT_EQ(GetRun(broken).state(), v1::RUN_FAILED);
  EXPECT_THAT(GetRun(broken).reason(),
              HasSubstr("failed 3 times, the last with BUG: a tensor of the wrong shape"));
}

TEST_F(BadHostTest, AWorkerThatNamesAProblemGetsNoRunsUntilItHasNone) {
  ASSERT_OK(Submit(Runs(1)));
  auto agent = NewAgent("host-a");
  agent->problem = "its trainer does not start: /bin/false ended with code 1";
  ASSERT_OK(agent->Register());
  EXPECT_FALSE(agent->Obtain(5).has_lease());
  EXPECT_EQ(GetRun(1).reason(),
            "waiting: host-a gets no runs: its trainer does not start: /bin/false ended with code "
            "1");
  EXPECT_EQ(Drained("host-a"), agent->problem);
  agent->problem.clear();
  EXPECT_TRUE(agent->Obtain().has_lease());
  EXPECT_THAT(Drained("host-a"), IsEmpty());
}

}  // namespace
}  // namespace allometry::testing
